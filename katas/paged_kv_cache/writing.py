"""What people do wrong in writing new tokens into pages."""

import torch

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.raised import Refused
from grading.diagnosis.replay import Check
from katas.paged_kv_cache.program import Write


class Writing(Mistake, Write):
    see = "paged_kv_cache#Written-into-pages"
    needs = ("put",)


class Begun(Writing):
    """Where the first new token goes."""

    grouping = True

    def position(self) -> None:
        self.positions = self._begin() + torch.arange(self.new)

    def _begin(self) -> int:
        raise NotImplementedError


class WriteIgnoresLengths(Begun):
    """the new tokens are written from the first slot of a row on, whatever lengths says

    The first call is right; each later one destroys what came first.
    """

    def _begin(self) -> int:
        return 0


class WriteBeginsANewPage(Begun):
    """the new tokens begin a page of their own: lengths is rounded up to whole pages

    A row has holes that count as tokens.
    """

    def _begin(self) -> int:
        return -(-self.length // self.size) * self.size


class WriteBeginsThePageAgain(Begun):
    """the new tokens are written from the first slot of the current page on: lengths is rounded down to whole pages

    The tokens in the page are lost.
    """

    def _begin(self) -> int:
        return self.length // self.size * self.size


class WriteBeginsOneSlotLate(Begun):
    """the new tokens are written one slot too far: from lengths + 1 on instead of from lengths on

    A slot that nobody wrote counts as a token.
    """

    def _begin(self) -> int:
        return self.length + 1


class WriteBeginsOneSlotEarly(Begun):
    """the new tokens are written one slot too early: from lengths - 1 on, over the latest token

    The latest token is lost at every call.
    """

    def _begin(self) -> int:
        return self.length - 1


class _NotBeforeTheFirst(WriteBeginsOneSlotEarly):
    def _begin(self) -> int:
        return max(self.length - 1, 0)


class LengthsTakenForThoseAfter(Begun):
    """write takes lengths for those after the call: it begins at lengths - L

    The latest L tokens are written over.
    """

    def _begin(self) -> int:
        return self.length - self.new


class NewTokensInOneSlot(Writing):
    """all the new tokens of a row go into one slot, the first free one

    Right for one token at a time; of a prompt one token is left.
    """

    def position(self) -> None:
        self.positions = torch.full((self.new,), self.length)


class _OnlyTheFirst(NewTokensInOneSlot):
    def put(self) -> None:
        self.given = self.given[0][:1], self.given[1][:1]
        self.pages, self.slots = self.pages[:1], self.slots[:1]
        super().put()

    def position(self) -> None:
        self.positions = torch.arange(self.length, self.length + 1)


class OnePageForAllNewTokens(Writing):
    """the page is looked up once for all the new tokens of a row: those of another page wrap within it

    They overwrite tokens of that page, and the other page stays empty. Right where a call stays in one page.
    """

    def look_up(self) -> None:
        super().look_up()
        self.pages = self.pages[:1].expand(self.new)


class _PageOfTheLast(OnePageForAllNewTokens):
    def look_up(self) -> None:
        super(OnePageForAllNewTokens, self).look_up()
        self.pages = self.pages[-1:].expand(self.new)


class TokensBeyondThePageLost(Writing):
    """of the new tokens only those are written that fit into the page of the first: the others are lost

    Right as long as a call does not cross the end of a page.
    """

    def put(self) -> None:
        self._stay()
        super().put()

    def _stay(self) -> None:
        kept = self.entries == self.entries[0]
        self.given = self.given[0][kept], self.given[1][kept]
        self.pages, self.slots = self.pages[kept], self.slots[kept]


class PageEndRaises(Writing):
    """the new tokens do not go on behind the end of a page: a slice, or an index, beyond it raises an error

    Right as long as a call does not cross the end of a page.
    """

    def put(self) -> None:
        start = int(self.slots[0])
        for pool, given in zip(self.pools, self.given, strict=True):
            pool[int(self.pages[0]), start : start + self.new] = given


class _IndexBeyondThePage(PageEndRaises):
    def put(self) -> None:
        self.slots = int(self.slots[0]) + torch.arange(self.new)
        self.pages = self.pages[:1].expand(self.new)
        super(PageEndRaises, self).put()


class PoolsCopied(Writing):
    """the new tokens are written into copies of the pool, and the pool that was handed in stays as it was

    Nobody sees them unless the copies are handed on, and a step copies the whole pool.
    """

    def put(self) -> None:
        """Elsewhere."""


class NewValuesNotWritten(Writing):
    """the new keys are written and the new values are not

    Tokens are found, and hold what was in their slots before.
    """

    def put(self) -> None:
        self.given = self.given[0], self.pools[1][self.pages, self.slots]
        super().put()


class NewKeysAsNewValues(Writing):
    """the new keys are written as values, too

    The output is a mean of keys.
    """

    def take(self) -> None:
        self.values = self.keys


class NewKeysAndValuesExchanged(Writing):
    """the new keys are written among the values and the new values among the keys

    Values are compared and keys are averaged.
    """

    def take(self) -> None:
        self.keys, self.values = self.values, self.keys


class RestOfThePageCleared(Writing):
    """the slots of a page behind the new tokens are overwritten, with zeros or whatever stands there

    What lies there may be of no row yet, but it is not for this call to change.
    """

    def put(self) -> None:
        super().put()
        self._clear(int(self.pages[-1]), int(self.slots[-1]) + 1)

    def _clear(self, page: int, start: int) -> None:
        for pool in self.pools:
            pool[page, start:] = 0.0


class _NewPagesCleared(RestOfThePageCleared):
    def put(self) -> None:
        for page, slot in zip(self.pages.tolist(), self.slots.tolist(), strict=True):
            if slot == 0:
                self._clear(page, 0)
        super(RestOfThePageCleared, self).put()


class OnlyRowZeroIsWritten(Writing):
    """the new tokens of row 0 are written and those of other rows are not

    Right for a batch of one.
    """

    def put(self) -> None:
        if self.row == 0:
            super().put()


class LengthsCountedUp(Writing):
    """write adds L to lengths, in place, which the caller does

    The new tokens are counted twice.
    """

    def count_up(self) -> None:
        self.lengths += self.new


class PagesOfARowUnchecked(Writing):
    """nothing is raised where the new tokens of a row do not fit into its pages, or what an index beyond them raises

    The error comes later and says less, or tokens are lost or go into another row's page.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return check.should_raise() == "ValueError" and check.raised() not in ("ValueError", "AssertionError")


class RoomSeenRowByRow(Writing):
    """whether the new tokens of a row fit is seen when that row is written, and not before anything is

    When the error comes, the rows before it are written.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return check.should_raise() == check.raised() == "ValueError" and "key_pages" in check.modified()


class LastSlotNeverUsed(Writing):
    """tokens that fill the pages of a row exactly are refused

    The comparison is >= instead of >.
    """

    def fit(self) -> None:
        if int(self.lengths.max()) + self.new >= self.table.size(1) * self.size:
            raise Refused("the tokens do not fit into the pages of a row")
