"""What people do wrong in the merging of two parts."""

import torch

from grading.diagnosis.mistake import Mistake
from katas.flash.program import Merge


class Merging(Mistake, Merge):
    see = "flash#Merging"


class MergeAverages(Merging):
    """the output of a merge is the mean of the two, however much each of them counts

    Right where both parts have the same lse.
    """

    def mix(self) -> None:
        self.output = (self.output_a + self.output_b) / 2


class MergeAdds(Merging):
    """the two outputs of a merge are added

    Twice too large where the parts are alike.
    """

    def mix(self) -> None:
        self.output = self.output_a + self.output_b


class MergeExchanged(Merging):
    """in a merge each output has the weight of the other

    Right where both parts have the same lse.
    """

    def mix(self) -> None:
        self.output_a, self.output_b = self.output_b, self.output_a
        super().mix()


class MergeByLogs(Merging):
    """a merge weighs the outputs by lse itself, lse_a / (lse_a + lse_b), instead of by its exponential

    The weights may be negative or infinite, and change when the same number is added to all the scores.
    """

    def mix(self) -> None:
        total = self.lse_a + self.lse_b
        self.output = (self.lse_a / total)[..., None] * self.output_a + (self.lse_b / total)[..., None] * self.output_b


class MergeNotDivided(Merging):
    """the weights of a merge are not divided by their sum: exp(lse - larger lse) is taken for a weight

    Up to twice too large.
    """

    def mix(self) -> None:
        self.output = self.part_a[..., None] * self.output_a + self.part_b[..., None] * self.output_b


class MergeTakesLarger(Merging):
    """the output of a merge is that of the part with the larger lse, and the other one is dropped

    Right where one part counts next to nothing.
    """

    def mix(self) -> None:
        self.output = torch.where((self.lse_a >= self.lse_b)[..., None], self.output_a, self.output_b)


class MergeWithoutMaximum(Merging):
    """a merge takes exp(lse) without subtracting the larger one first

    Right for small scores; above 709 (float64) or 88 (float32) exp is inf, and below it everything is 0.
    """

    def find_larger(self) -> None:
        self.shift = torch.zeros_like(self.lse_a)


class MergeLseMaximum(Merging):
    """the lse of a merge is the larger of the two

    Too small by up to ln 2 each time.
    """

    def merge_lse(self) -> None:
        self.lse = torch.maximum(self.lse_a, self.lse_b)


class MergeLseAdded(Merging):
    """the lse of a merge is the sum of the two, which is the log of a product

    Right where one of them is 0.
    """

    def merge_lse(self) -> None:
        self.lse = self.lse_a + self.lse_b


class MergeLseAveraged(Merging):
    """the lse of a merge is the mean of the two

    Smaller than the larger one, as if keys had been lost.
    """

    def merge_lse(self) -> None:
        self.lse = (self.lse_a + self.lse_b) / 2


class MergeLseWithoutMaximum(Merging):
    """the lse of a merge is the log of the sum of the weights without the larger lse that was subtracted

    It is between 0 and ln 2 whatever the parts are.
    """

    def merge_lse(self) -> None:
        super().merge_lse()
        self.lse = self.lse - self.shift


class MergeEmptyNan(Merging):
    """a merge of two parts that saw no key subtracts -inf from -inf, which is NaN

    Right as long as one of the parts saw a key.
    """

    def find_larger(self) -> None:
        self.shift = torch.maximum(self.lse_a, self.lse_b).detach()

    def merge_lse(self) -> None:
        self.lse = self.shift + self.total.log()


class _RepairedLse(MergeEmptyNan):
    def merge_lse(self) -> None:
        self.lse = torch.logaddexp(self.lse_a, self.lse_b)


class _ZeroByZero(MergeEmptyNan):
    def find_larger(self) -> None:
        Merge.find_larger(self)

    def mix(self) -> None:
        parts = self.part_a[..., None] * self.output_a + self.part_b[..., None] * self.output_b
        self.output = parts / self.total[..., None]


class _RepairedOutput(MergeEmptyNan):
    def mix(self) -> None:
        super().mix()
        self.output = self.output.nan_to_num(0.0)


class MergeInHalf(Merging):
    """a merge of half outputs works in half precision: the weights, or lse, are rounded to the dtype of the outputs

    Three digits are right, and each further merge loses more.
    """

    see = "flash#Precision"

    def find_larger(self) -> None:
        wide, dtype = self.lse_a.dtype, self.output_a.dtype
        self.lse_a, self.lse_b = self.lse_a.to(dtype), self.lse_b.to(dtype)
        super().find_larger()
        self.wide = wide

    def merge_lse(self) -> None:
        super().merge_lse()
        self.lse = self.lse.to(self.wide)
