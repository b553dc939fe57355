"""What people do wrong in the merging of two parts: in merge itself, and in blocks that are merged in the same way.

Each mistake is an idea, with a way in the program of merge; where blocks of keys are put together by such a merge, the
same mistake gives other numbers in blockwise_attention, too.
"""

import math
from typing import ClassVar

import torch

from grading.diagnosis.mistake import Mistake, mixed
from katas.flash.program import Blockwise, Merge


class Idea(Mistake):
    grouping = True
    see = "flash#Merging"


class LargerWithGradient(Mistake, Merge):
    """The larger lse has a gradient: it cancels, unless a mistake leaves one of the results at another one."""

    sound = True

    def larger(self) -> torch.Tensor:
        return torch.maximum(self.lse_a, self.lse_b)


class ByMerging(Mistake, Blockwise):
    """Blocks with a softmax of their own, which are merged one after the other in the way of a mistake.

    What the keys count in the output takes the place of the outputs, since a merge is linear in them.
    """

    grouping = True
    way: ClassVar[type[Mistake]]

    def normalise(self) -> None:
        self.cut()
        merge = mixed(Merge, (self.way,))
        counts, lse = self._part(*self.blocks[0])
        for start, stop in self.blocks[1:]:
            counts, lse = merge()(counts, lse, *self._part(start, stop))
        self.weights, self.top = counts, lse[..., None]
        self.total = (self.top > -math.inf).to(self.top.dtype)

    def _part(self, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        block = self.scores[..., start:stop]
        lse = block.logsumexp(dim=-1)
        counts = (block - self.shift(lse)[..., None]).exp()
        return torch.nn.functional.pad(counts, (start, self.scores.size(-1) - stop)), lse


class MergeAverages(Idea):
    """the output of a merge is the mean of the two, however much each of them counts

    Right where both parts have the same lse.
    """

    grouping = True


class _AveragesParts(MergeAverages, Merge):
    def mix(self) -> None:
        self.output = (self.output_a + self.output_b) / 2


class _AveragesBlocks(MergeAverages, ByMerging):
    way = _AveragesParts


class MergeAdds(Idea):
    """the two outputs of a merge are added

    Twice too large where the parts are alike.
    """

    grouping = True


class _AddsParts(MergeAdds, Merge):
    def mix(self) -> None:
        self.output = self.output_a + self.output_b


class MergeExchanged(Idea):
    """in a merge each output has the weight of the other

    Right where both parts have the same lse.
    """

    grouping = True


class _ExchangedParts(MergeExchanged, Merge):
    def mix(self) -> None:
        self.output_a, self.output_b = self.output_b, self.output_a
        super().mix()


class _ExchangedBlocks(MergeExchanged, ByMerging):
    way = _ExchangedParts


class _ExchangedUnlessEmpty(_ExchangedParts):
    def mix(self) -> None:
        a, b = self.output_a, self.output_b
        super().mix()
        self.output = torch.where(self.lse_b.isneginf()[..., None], a, self.output)
        self.output = torch.where(self.lse_a.isneginf()[..., None], b, self.output)


class _ExchangedBlocksUnlessEmpty(MergeExchanged, ByMerging):
    way = _ExchangedUnlessEmpty


class MergeByLogs(Idea):
    """a merge weighs the outputs by lse itself, lse_a / (lse_a + lse_b), instead of by its exponential

    The weights may be negative or infinite, and change when the same number is added to all the scores.
    """

    grouping = True


class _ByLogsParts(MergeByLogs, Merge):
    def mix(self) -> None:
        total = self.lse_a + self.lse_b
        self.output = (self.lse_a / total)[..., None] * self.output_a + (self.lse_b / total)[..., None] * self.output_b


class _ByLogsBlocks(MergeByLogs, ByMerging):
    way = _ByLogsParts


class MergeNotDivided(Idea):
    """the weights of a merge are not divided by their sum: exp(lse - larger lse) is taken for a weight

    Up to twice too large.
    """

    grouping = True


class _NotDividedParts(MergeNotDivided, Merge):
    def mix(self) -> None:
        self.output = self.part_a[..., None] * self.output_a + self.part_b[..., None] * self.output_b


class _NotDividedBlocks(MergeNotDivided, ByMerging):
    way = _NotDividedParts


class MergeTakesLarger(Idea):
    """the output of a merge is that of the part with the larger lse, and the other one is dropped

    Right where one part counts next to nothing.
    """

    grouping = True


class _TakesLargerParts(MergeTakesLarger, Merge):
    def mix(self) -> None:
        self.output = torch.where((self.lse_a >= self.lse_b)[..., None], self.output_a, self.output_b)


class _TakesLargerBlocks(MergeTakesLarger, ByMerging):
    way = _TakesLargerParts


class MergeWithoutMaximum(Idea):
    """a merge takes exp(lse) without subtracting the larger one first

    Right for small scores; above 709 (float64) or 88 (float32) exp is inf, and below it everything is 0.
    """

    grouping = True


class _WithoutMaximumParts(MergeWithoutMaximum, Merge):
    def find_larger(self) -> None:
        self.shift = torch.zeros_like(self.lse_a)


class _WithoutMaximumBlocks(MergeWithoutMaximum, ByMerging):
    way = _WithoutMaximumParts


class MergeLseMaximum(Idea):
    """the lse of a merge is the larger of the two

    Too small by up to ln 2 each time.
    """

    grouping = True


class _LseMaximumParts(MergeLseMaximum, Merge):
    def merge_lse(self) -> None:
        self.lse = torch.maximum(self.lse_a, self.lse_b)


class _LseMaximumBlocks(MergeLseMaximum, ByMerging):
    way = _LseMaximumParts


class MergeLseAdded(Idea):
    """the lse of a merge is the sum of the two, which is the log of a product

    Right where one of them is 0.
    """

    grouping = True


class _LseAddedParts(MergeLseAdded, Merge):
    def merge_lse(self) -> None:
        self.lse = self.lse_a + self.lse_b


class _LseAddedBlocks(MergeLseAdded, ByMerging):
    way = _LseAddedParts


class MergeLseAveraged(Idea):
    """the lse of a merge is the mean of the two

    Smaller than the larger one, as if keys had been lost.
    """

    grouping = True


class _LseAveragedParts(MergeLseAveraged, Merge):
    def merge_lse(self) -> None:
        self.lse = (self.lse_a + self.lse_b) / 2


class _LseAveragedBlocks(MergeLseAveraged, ByMerging):
    way = _LseAveragedParts


class MergeLseWithoutMaximum(Idea):
    """the lse of a merge is the log of the sum of the weights without the larger lse that was subtracted

    It is between 0 and ln 2 whatever the parts are.
    """

    grouping = True


class _LseWithoutMaximumParts(MergeLseWithoutMaximum, Merge):
    def merge_lse(self) -> None:
        super().merge_lse()
        self.lse = self.lse - self.shift


class _LseWithoutMaximumBlocks(MergeLseWithoutMaximum, ByMerging):
    way = _LseWithoutMaximumParts


class MergeEmptyNan(Idea):
    """a merge of two parts that saw no key subtracts -inf from -inf, which is NaN

    Right as long as one of the parts saw a key.
    """

    grouping = True


class _EmptyNanParts(MergeEmptyNan, Merge):
    def find_larger(self) -> None:
        self.shift = self.larger()

    def merge_lse(self) -> None:
        self.lse = self.shift + self.total.log()


class _EmptyNanBlocks(MergeEmptyNan, ByMerging):
    way = _EmptyNanParts


class _RepairedLse(_EmptyNanParts):
    def merge_lse(self) -> None:
        self.lse = torch.logaddexp(self.lse_a, self.lse_b)


class _ZeroByZero(_EmptyNanParts):
    def find_larger(self) -> None:
        Merge.find_larger(self)

    def mix(self) -> None:
        parts = self.part_a[..., None] * self.output_a + self.part_b[..., None] * self.output_b
        self.output = parts / self.total[..., None]


class _RepairedOutput(_EmptyNanParts):
    def mix(self) -> None:
        super().mix()
        self.output = self.output.nan_to_num(0.0)


class _EmptyPartsCleared(_EmptyNanParts):
    def mix(self) -> None:
        self.output_a, self.output_b = (
            torch.where((lse > -math.inf)[..., None], output, 0.0)
            for output, lse in ((self.output_a, self.lse_a), (self.output_b, self.lse_b))
        )
        super().mix()


class MergeInHalf(Idea):
    """a merge of half outputs works in half precision: the weights, or lse, are rounded to the dtype of the outputs

    Three digits are right, and each further merge loses more.
    """

    grouping = True
    see = "flash#Precision"


class _InHalfParts(MergeInHalf, Merge):
    def find_larger(self) -> None:
        wide, dtype = self.lse_a.dtype, self.output_a.dtype
        self.lse_a, self.lse_b = self.lse_a.to(dtype), self.lse_b.to(dtype)
        super().find_larger()
        self.wide = wide

    def merge_lse(self) -> None:
        super().merge_lse()
        self.lse = self.lse.to(self.wide)


class MergeOutputInFloat32(Idea):
    """the output of a merge has the float32 of lse instead of the dtype of the outputs

    float16 goes in and float32 comes out.
    """

    grouping = True
    see = "flash#Precision"


class _OutputInFloat32Parts(MergeOutputInFloat32, Merge):
    def deliver(self) -> None:
        self.output = self.output.to(self.lse.dtype)
