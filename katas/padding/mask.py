"""What people do wrong in the mask."""

import math

import torch

from grading.diagnosis.mistake import Mistake
from katas.padding.program import PaddedMask


class Order(Mistake, PaddedMask):
    see = "padding#Queries-are-the-last-slots"


class Keys(Mistake, PaddedMask):
    see = "padding#Pads-are-keys-that-nobody-sees"


class Opened(Mistake, PaddedMask):
    see = "padding#Queries-that-see-nothing"


class Form(Mistake, PaddedMask):
    see = "padding#The-form-of-the-mask"


class PaddedTriangleTopLeft(Order):
    """the queries are taken for the first of the slots (top-left) and not for the last (bottom-right)

    Right without query_len; with it the queries see only the oldest keys.
    """

    def align(self) -> None:
        self.first = 0


class QueriesAfterRealTokens(Order):
    """the queries are taken for the last of a row's real tokens, not for the last of its slots

    Right for rows without padding; in all others the queries see too little.
    """

    def align(self) -> None:
        self.first = (self.counts - self.query_len)[:, None, None]


class PaddedTriangleStrict(Order):
    """the triangle is off by one: a token does not see itself

    The first real token sees nothing.
    """

    see = "padding#The-form-of-the-mask"

    def triangle(self) -> None:
        self.causal = self.slots < self.queries()


class PaddedTriangleOneAhead(PaddedTriangleStrict):
    """the triangle is off by one: a token sees the one after it

    What comes next leaks into each token.
    """

    def triangle(self) -> None:
        self.causal = self.slots <= self.queries() + 1


class PaddedTriangleUpper(PaddedTriangleStrict):
    """the upper triangle is allowed instead of the lower one: a token sees what comes after it

    The past is hidden and the future is seen.
    """

    def triangle(self) -> None:
        self.causal = self.slots >= self.queries()


class _UpperWithoutDiagonal(PaddedTriangleUpper):
    def triangle(self) -> None:
        self.causal = self.slots > self.queries()


class PaddedTriangleMissing(PaddedTriangleStrict):
    """nothing but padding is hidden: every query sees all real keys

    What comes later leaks into each token.
    """

    def triangle(self) -> None:
        self.causal = torch.ones(self.query_len, self.given.size(-1), dtype=torch.bool)


class OrderByPosition(Order):
    """positions are compared instead of slots, and those of pads are 0

    A pad sees the first real token, wherever that is, and no other.
    """

    see = "padding#Pads-are-keys-that-nobody-sees"

    def triangle(self) -> None:
        position = (self.real.cumsum(dim=-1) - 1).clamp(min=0) * self.real
        last = position[:, -self.query_len :]
        self.causal = (position[:, None, :] <= last[:, :, None])[:, None]


class PaddingNotHidden(Keys):
    """pads are not hidden: the mask is the causal one for every row

    Right for rows without padding.
    """

    def hide_pads(self) -> None:
        self.keys = torch.ones_like(self.real)[:, None, None, :]


class QueryPaddingForKeyPadding(Keys):
    """the attention mask is taken for that of the queries: pads see nothing, and are seen as keys

    The rows of pads are empty, and real tokens see the pads.
    """

    def hide_pads(self) -> None:
        self.keys = self.real[:, None, -self.query_len :, None]


class QueryPaddingToo(Keys):
    """pads are hidden as keys and emptied as queries, too

    Right for padding on the left; a pad on the right sees the real tokens before it by the rule.
    """

    see = "padding#Queries-that-see-nothing"

    def hide_pads(self) -> None:
        self.keys = self.real[:, None, None, :] & self.real[:, None, -self.query_len :, None]


class BatchReadAsQueries(Keys):
    """the attention mask gets no axes for heads and queries, so that its batch meets the queries

    An error, or where B is L, a mask in which query i has the padding of row i.
    """

    see = "padding#One-row-at-a-time"

    def hide_pads(self) -> None:
        self.keys = self.real


class PaddingOrOrder(Keys):
    """a key may be seen when it is real or not later than the query, where both are asked for

    Pads of the past and tokens of the future are seen.
    """

    def combine(self) -> None:
        self.mask = self.causal | self.keys


class HiddenOnlyIfBoth(Keys):
    """what comes back is what is hidden, of which only keys that are pads and later than the query are part

    The two conditions are joined before they are turned round, and turned round nowhere.
    """

    def combine(self) -> None:
        self.mask = ~self.causal & ~self.keys


class PadsSeeThemselves(Opened):
    """each query sees itself, pads too

    No row is empty; the rule asks for empty rows.
    """

    def open_rows(self) -> None:
        self.mask = self.mask | (self.slots == torch.arange(-self.query_len, 0)[:, None] + self.given.size(-1))


class _OnlyEmptyOnesSeeThemselves(PadsSeeThemselves):
    def open_rows(self) -> None:
        itself = self.slots == torch.arange(-self.query_len, 0)[:, None] + self.given.size(-1)
        self.mask = self.mask | (itself & ~self.mask.any(dim=-1, keepdim=True))


class EmptyRowsSeeAll(Opened):
    """a query that sees nothing is allowed every key

    Its output becomes a mean over pads; the rule asks for empty rows.
    """

    def open_rows(self) -> None:
        self.mask = self.mask | ~self.mask.any(dim=-1, keepdim=True)


class EmptyRowsSeeFirst(Opened):
    """a query that sees nothing is allowed the first key

    Its output becomes the value of a pad; the rule asks for empty rows.
    """

    def open_rows(self) -> None:
        self.mask = self.mask | (~self.mask.any(dim=-1, keepdim=True) & (self.slots == 0))


class OneQuerySeesPads(Opened):
    """a single query is allowed all keys, pads too

    Right for causal order alone; in a batch with padding the pads stay in the cache.
    """

    see = "padding#Queries-are-the-last-slots"

    def open_rows(self) -> None:
        if self.query_len == 1:
            self.mask = torch.ones_like(self.mask)


class PaddedMaskInverted(Form):
    """True means hidden instead of may attend

    The mask is the complement of the right one.
    """

    def orient(self) -> None:
        self.mask = ~self.mask


class PaddedMaskTransposed(Form):
    """the mask is transposed: its rows are keys and its columns queries

    A token sees what comes after it, and pads see what they hide.
    """

    def orient(self) -> None:
        self.mask = self.mask.mT


class QueryLenIgnored(Order):
    """query_len is ignored: the mask has a row for each of the S slots

    Right without query_len, of the wrong shape otherwise.
    """

    def rows(self) -> None:
        self.query_len = self.given.size(-1)


class KeysCutToQueries(Order):
    """the keys are cut to the last query_len slots, too: the mask is (B, 1, L, L)

    What is in the cache is not covered.
    """

    def shape(self) -> None:
        self.mask = self.mask[..., -self.query_len :]


class _FirstKeysKept(KeysCutToQueries):
    def shape(self) -> None:
        self.mask = self.mask[..., : self.query_len]


class HeadAxisMissing(Form):
    """the mask has no axis for the heads: it is (B, L, S) instead of (B, 1, L, S)

    Over (B, H, L, S) scores its batch meets the heads: an error, or where B is H, the wrong row for each.
    """

    def shape(self) -> None:
        self.mask = self.mask[:, 0]


class PaddedMaskNotBool(Form):
    """the mask has 1 and 0 instead of True and False: its dtype is not bool

    ~mask and masked_fill do not work with it, and adding it changes the scores by 1.
    """

    def cast(self) -> None:
        self.mask = self.mask.float()


class _MaskOfInt64(PaddedMaskNotBool):
    def cast(self) -> None:
        self.mask = self.mask.long()


class _MaskInGivenDtype(PaddedMaskNotBool):
    def cast(self) -> None:
        self.mask = self.mask.to(self.given.dtype)


class _MaskOfInt32(PaddedMaskNotBool):
    def cast(self) -> None:
        self.mask = self.mask.int()


class PaddedMaskAdditive(Form):
    """the mask is the additive form, 0 and -inf or a large negative number, instead of True and False

    It has to be added to scores, and nobody expects that of a boolean mask.
    """

    def cast(self) -> None:
        self.mask = torch.zeros(self.mask.shape).masked_fill(~self.mask, -math.inf)


class _AdditiveLowest(PaddedMaskAdditive):
    def cast(self) -> None:
        self.mask = torch.zeros(self.mask.shape).masked_fill(~self.mask, torch.finfo(torch.float32).min)


class _AdditiveBillion(PaddedMaskAdditive):
    def cast(self) -> None:
        self.mask = torch.zeros(self.mask.shape).masked_fill(~self.mask, -1e9)
