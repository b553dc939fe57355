"""What people do wrong in reading tokens from pages."""

import math

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.attention.mistakes import blocks, chunks
from katas.paged_kv_cache.program import PagedAttention


class Reading(Mistake, PagedAttention):
    see = "paged_kv_cache#Read-where-they-lie"
    needs = ("gather",)


class Order(Mistake, PagedAttention):
    see = "paged_kv_cache#The-order-of-pages"
    needs = ("gather",)


class Free(Mistake, PagedAttention):
    see = "paged_kv_cache#Free-slots"
    needs = ("gather",)


class Further(Free):
    """More slots are read than have tokens. Which of them a query sees is another question."""

    grouping = True

    def align_causal(self) -> None:
        """The queries are the last of all that is read."""
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(S - L)


class AllSlotsOfARowSeen(Further):
    """a query sees all the slots of its row's pages, whatever lengths says

    What nobody wrote gets a weight: zeros, an earlier row's tokens, NaN.
    """

    def position(self) -> None:
        self.positions = torch.arange(self.table.size(1) * self.size)


class _AllSlotsWithoutMask(AllSlotsOfARowSeen):
    def align_causal(self) -> None:
        self.mask = None


class _AllSlotsBehindTheTokens(AllSlotsOfARowSeen):
    def align_causal(self) -> None:
        self.mask = own(self.scores, self.length)
        self.mask[:, self.length :] = True


class PartialPageReadWhole(Further):
    """the last page of a row is read whole: lengths is rounded up to whole pages

    Right where a row ends with a page; else slots that nobody wrote get a weight.
    """

    def position(self) -> None:
        self.positions = torch.arange(-(-self.length // self.size) * self.size)


class _PartialWithoutMask(PartialPageReadWhole):
    def align_causal(self) -> None:
        self.mask = None


class _PartialBehindTheTokens(PartialPageReadWhole):
    def align_causal(self) -> None:
        self.mask = own(self.scores, self.length)
        self.mask[:, self.length :] = True


class PartialPageLost(Free):
    """only full pages are read: the tokens behind the last full page are lost, or lengths is rounded down

    Right where a row ends with a page; a row of less than a page has nothing to read.
    """

    def position(self) -> None:
        self.positions = torch.arange(self.length // self.size * self.size)

    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(self.length - L)


class _NanWithoutAFullPage(PartialPageLost):
    def weigh(self) -> None:
        super().weigh()
        if not self.positions.numel():
            self.output = self.output + math.nan


class _LastOfTheFullPages(PartialPageLost):
    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(S - L)


class FreeSlotsNan(Free):
    """free slots are hidden by a mask, but the NaN in them gets through, for NaN times 0 is NaN

    Right while the pool holds numbers.
    """

    def position(self) -> None:
        self.positions = torch.arange(self._read())

    def align_causal(self) -> None:
        self.mask = own(self.scores, self.length)

    def _read(self) -> int:
        """How many slots."""
        return self.table.size(1) * self.size


class _OfTheLastPage(FreeSlotsNan):
    def _read(self) -> int:
        return -(-self.length // self.size) * self.size


class _OfTheLongestRow(FreeSlotsNan):
    def _read(self) -> int:
        return self.longest


class _OfThePagesOfTheLongestRow(FreeSlotsNan):
    def _read(self) -> int:
        return -(-self.longest // self.size) * self.size


class UnusedEntriesLookedUp(Free):
    """entries of the table that a row does not need are looked up as well, and may be no pages

    An index beyond the pool raises; -1 is the last page without an error.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        """An index beyond the pool that stands in the table is the one that the error names."""
        tables = [(call.arguments["block_table"], call.arguments["key_pages"].size(0)) for call in check.calls()]
        beyond = {str(entry) for table, pages in tables for entry in table.flatten().tolist() if entry >= pages}
        error = check.steps[-1].error
        return error is not None and not beyond.isdisjoint(error.message.split())


class LengthsTakenForThoseBefore(Free):
    """paged_attention takes lengths for those before the new tokens: it reads L tokens more than are there

    The queries see slots that nobody wrote.
    """

    def count(self) -> None:
        super().count()
        self.length += self.new


class _UpToTheEndOfTheTable(LengthsTakenForThoseBefore):
    def count(self) -> None:
        super().count()
        self.length = min(self.length, self.table.size(1) * self.size)


class CausalMaskOfTheLongestRow(Order):
    """the causal mask is made for the longest row, or for all slots: in shorter rows a query sees tokens after its own

    Right for one query, and for rows that are all as long.
    """

    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(self._end() - L)

    def _end(self) -> int:
        return self.longest


class _OfAllSlots(CausalMaskOfTheLongestRow):
    def _end(self) -> int:
        return self.table.size(1) * self.size


class _OfWholePages(CausalMaskOfTheLongestRow):
    def _end(self) -> int:
        return -(-self.longest // self.size) * self.size


class _OneAheadAndAFreeSlot(chunks.CausalMaskOneAhead, Order):
    see = chunks.CausalMaskOneAhead.see

    def position(self) -> None:
        self.positions = torch.arange(min(self.length + 1, self.table.size(1) * self.size))

    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(self.length - L + 1)


class PageTokensInReverse(Order):
    """pages are put together from the last to the first, each with the tokens that it has

    No token is lost, and a single query sees no difference: with several the mask hides the wrong ones.
    """

    def gather(self) -> None:
        pages = torch.split(torch.arange(self.length), self.size)
        order = torch.cat(pages[::-1])
        self.pages, self.slots = self.pages[order], self.slots[order]
        super().gather()


class OnlyFirstPageRead(Reading):
    """only the first page of a row is read

    Right for rows of one page.
    """

    def gather(self) -> None:
        self.pages, self.slots = self.pages[: self.size], self.slots[: self.size]
        super().gather()

    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(self.length - L)


class _AndAlignedToIt(OnlyFirstPageRead):
    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(S - L)


class SoftmaxOfEachPage(Reading):
    """each page has a softmax of its own, and what the pages give is added, or averaged

    A token counts as much as it does among its page, whatever the others hold. Right for rows of one page.
    """

    def soften(self, scores: Tensor) -> Tensor:
        parts = torch.split(scores, self.size, dim=-1)
        weights = torch.cat([part.softmax(dim=-1) for part in parts], dim=-1).nan_to_num(0.0)
        return weights / self._share(len(parts))

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores.masked_fill(~self.mask, -math.inf)

    def _share(self, pages: int) -> int:
        return 1


class _MeanOfPages(SoftmaxOfEachPage):
    def _share(self, pages: int) -> int:
        return pages


class _NotRescaled(blocks.BlocksNotRescaled, Reading):
    def soften(self, scores: Tensor) -> Tensor:
        _, running = blocks.maxima(scores, self.size)
        return self._powers(scores, running) / self._total(scores, running).sum(dim=-1, keepdim=True)

    def _powers(self, scores: Tensor, running: Tensor) -> Tensor:
        """What each token counts in the output, and below in the sum."""
        return (scores - running).exp()

    def _total(self, scores: Tensor, running: Tensor) -> Tensor:
        return (scores - running).exp()


class _OutputNotRescaled(_NotRescaled):
    def _total(self, scores: Tensor, running: Tensor) -> Tensor:
        return (scores - running[..., -1:]).exp()


class _SumNotRescaled(_NotRescaled):
    def _powers(self, scores: Tensor, running: Tensor) -> Tensor:
        return (scores - running[..., -1:]).exp()


class _OwnMaximum(blocks.BlockMaximumForRunning, Reading):
    def soften(self, scores: Tensor) -> Tensor:
        largest, running = blocks.maxima(scores, self.size)
        powers = (scores - largest).exp() * (running - running[..., -1:]).exp()
        return powers / powers.sum(dim=-1, keepdim=True)


class PoolChangedByReading(Reading):
    """paged_attention changes the pool, such as by setting NaN or free slots to zero in place

    The numbers are right, and pages that belong to others are not what they were.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return not {"key_pages", "value_pages"}.isdisjoint(check.modified())


class WorkedInHalfPrecision(Reading):
    """half inputs are worked on in half precision

    Scores that are large and near each other lose the digits in which they differ.
    """

    def receive(self) -> None:
        """As they are."""


class _ProductBeforeTheScale(WorkedInHalfPrecision):
    def score(self) -> None:
        self.scores = (self.query @ self.key.transpose(-2, -1)) * self.factor


class _ScoresInHalf(WorkedInHalfPrecision):
    def soften(self, scores: Tensor) -> Tensor:
        return scores.float().softmax(dim=-1).to(scores.dtype)


class _ProductInHalf(_ProductBeforeTheScale, _ScoresInHalf):
    pass


def own(scores: Tensor, length: int) -> Tensor:
    """Which of all that is read the queries of a row of that length see: the tokens up to their own."""
    L, S = scores.shape[-2:]
    return torch.ones(L, S, dtype=torch.bool).tril(length - L)
