"""What people do wrong in finding a token's place, whether they write it or read it."""

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from katas.paged_kv_cache.program import Located


class Places(Mistake, Located):
    see = "paged_kv_cache#Two-addresses"


class TableOfFirstRowForAll(Places):
    """the pages of row 0 are used for all rows

    Right for a batch of one; all rows share the memory of one.
    """

    def look_up(self) -> None:
        self.pages = self.table[0, self.entries]


class TableNotUsed(Places):
    """the n-th page of a row is taken for page n of the pool: the table is not used

    Right as long as one row has the pool to itself, from its first page on.
    """

    def look_up(self) -> None:
        self.pages = self.entries


class _RowsBehindEachOther(TableNotUsed):
    def look_up(self) -> None:
        self.pages = self.row * self.table.size(1) + self.entries


class TableSorted(Places):
    """the pages of a row are taken in rising order instead of in that of the table

    The tokens are those of the row, in another order: a single query sees no difference.
    """

    def look_up(self) -> None:
        self.pages = self.table[self.row, : self.used].sort().values[self.entries]


class _WholeTableSorted(TableSorted):
    def look_up(self) -> None:
        self.pages = self.table[self.row].sort().values[self.entries]


class _WithoutDuplicates(TableSorted):
    def look_up(self) -> None:
        self.pages = torch.unique(self.table[self.row])[self.entries]


class PagesInReverse(Places):
    """the pages of a row are taken from the last to the first

    The tokens are in another order, and the page that is full in part is read as the first.
    """

    def look_up(self) -> None:
        self.pages = self.table[self.row, self.used - 1 - self.entries]


class _TableReversed(PagesInReverse):
    def look_up(self) -> None:
        self.pages = self.table[self.row].flip(0)[self.entries]


class PagesCountedFromOne(Places):
    """the entries of the table are taken for numbers from 1 on: page p for page p - 1 of the pool

    Every token lies one page too early; page 0 becomes the last one.
    """

    def look_up(self) -> None:
        self.pages = self.table[self.row, self.entries] - 1


class PageAndSlotExchanged(Places):
    """quotient and remainder are exchanged: token t lies in slot t // page of the entry t % page

    Neighbours are spread over pages, and the table soon has no entry more.
    """

    def cut(self) -> None:
        self.entries, self.slots = self.positions % self.size, self.positions // self.size


class PageSizeOfOtherDimension(Places):
    """the page size is read from another dimension of the pool than its second: from its heads, or its pages

    Tokens go to the next page too soon or too late; right where the two sizes are the same.
    """

    def measure(self) -> None:
        self.size = self.pools[0].size(2)


class _PagesForSlots(PageSizeOfOtherDimension):
    def measure(self) -> None:
        self.size = self.pools[0].size(0)


class _FeaturesForSlots(PageSizeOfOtherDimension):
    def measure(self) -> None:
        self.size = self.pools[0].size(3)


class NextPageOfThePool(Places):
    """behind the end of a page goes on the page that lies next in the pool, instead of the next of the table

    The first place is right, and the memory behind it belongs to somebody else.
    """

    def look_up(self) -> None:
        first = int(self.table[self.row, self.entries[0]]) * self.size + int(self.slots[0])
        places = first + torch.arange(self.positions.numel())
        self.pages, self.slots = places // self.size, places % self.size


class LengthOfOneRowForAll(Places):
    """the length of one row, the first or the longest, is taken for all rows

    Right where all rows are as long; other rows have holes, or tokens of others.
    """

    def count(self) -> None:
        self.length = int(self.lengths[0])


class _LongestForAll(LengthOfOneRowForAll):
    def count(self) -> None:
        self.length = int(self.lengths.max())


class HeadsAndTokensReshaped(Places):
    """heads and tokens are exchanged with view or reshape instead of transpose

    The shape is right; a token has features of others. Right for one token, or one head.
    """

    def turn(self, x: Tensor) -> Tensor:
        return x.reshape(x.size(1), x.size(0), x.size(2))
