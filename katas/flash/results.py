"""What people do wrong beside the loop: with masks and queries that see nothing, in lse, and in the precision."""

import math

import torch

from grading.diagnosis.matching import are_float32, tensors
from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.flash.program import Blockwise


class Hiding(Mistake, Blockwise):
    see = "flash#Masks-and-empty-rows"


class Lse(Mistake, Blockwise):
    see = "flash#What-lse-is-for"


class Precision(Mistake, Blockwise):
    see = "flash#Precision"


# ---------------------------------------------------------------------------------------- masks, empty rows


class MaskOfFirstBlock(Hiding):
    """every block of keys is given the columns of the mask that belong to the first one

    Right with a single block.
    """

    def orient(self) -> None:
        if self.mask is not None:
            S = self.scores.size(-1)
            self.mask = self.mask.expand(*self.mask.shape[:-1], S)[..., torch.arange(S) % self.block_size]


class HiddenBlockNan(Hiding):
    """a query that has seen no key yet has a maximum of -inf, and -inf - -inf is NaN, which stays in its row

    Right as long as each query sees a key in its first block.
    """

    def shift(self, top: torch.Tensor) -> torch.Tensor:
        return top

    def log_sum(self) -> None:
        self.lse = self.top + self.total.log()


class _RepairedOutput(HiddenBlockNan):
    def correct(self) -> None:
        self.weights = self.weights.nan_to_num(0.0)


class _RepairedBoth(_RepairedOutput):
    def log_sum(self) -> None:
        self.lse = torch.where(self.total > 0, self.top + self.total.log(), -math.inf)


class _InTheOutputAlone(HiddenBlockNan):
    def log_sum(self) -> None:
        self.lse = self.scores.logsumexp(dim=-1, keepdim=True)


class EmptyRowDivided(Hiding):
    """the output of a query that may attend to nothing is divided by its sum, which is 0, and 0 / 0 is NaN

    Its row is NaN; all others are right.
    """

    def divide(self) -> None:
        self.weights = self.counts

    def weigh(self) -> None:
        self.output = self.weights @ self.value / self.total


class EmptyRowRepairedLate(Hiding):
    """the 0 / 0 of a query that may attend to nothing is repaired when it is there: its gradient stays NaN

    The output is right, and one training step makes all weights NaN.
    """

    def divide(self) -> None:
        self.weights = self.counts

    def weigh(self) -> None:
        self.output = torch.where(self.total == 0, 0.0, self.weights @ self.value / self.total)


# ------------------------------------------------------------------------------------------------------ lse


class LseWithoutMaximum(Lse):
    """lse is the log of the running sum without the maximum that was subtracted

    It is near 0 whatever the scores are, and parts that are merged by it count nearly alike.
    """

    def log_sum(self) -> None:
        total = self.total.masked_fill(self.total == 0, 1.0)
        self.lse = torch.where(self.total == 0, -math.inf, total.log())


class LseIsMaximum(Lse):
    """lse is the largest score, without the log of the sum

    Right with a single key; a part of many keys counts too little in a merge.
    """

    def log_sum(self) -> None:
        self.lse = self.top


class LseIsSum(Lse):
    """lse is the running sum itself, or the maximum plus the sum, not its log

    It is too large, and grows with the number of keys as a log does not.
    """

    def log_sum(self) -> None:
        self.lse = self.top + self.total


class _SumAlone(LseIsSum):
    def log_sum(self) -> None:
        self.lse = self.total


class LseBase2(Lse):
    """lse has a log to the base 2 in it instead of the natural one

    Kernels that count in powers of 2 keep it so, and convert it at the end.
    """

    def log_sum(self) -> None:
        super().log_sum()
        self.lse = torch.where(self.total == 0, -math.inf, self.top + (self.lse - self.top) / math.log(2))


class _Base2Throughout(LseBase2):
    def log_sum(self) -> None:
        Blockwise.log_sum(self)
        self.lse = self.lse / math.log(2)


class LseSign(Lse):
    """one of the two terms of lse has the wrong sign: the maximum minus the log of the sum, or the reverse

    It is right for neither many keys nor large scores.
    """

    def log_sum(self) -> None:
        super().log_sum()
        self.lse = torch.where(self.total == 0, -math.inf, 2 * self.top - self.lse)


class _LogMinusMaximum(LseSign):
    def log_sum(self) -> None:
        Blockwise.log_sum(self)
        self.lse = torch.where(self.total == 0, -math.inf, self.lse - 2 * self.top)


class LseKeepsDimension(Lse):
    """lse has a last dimension of 1 left over from keepdim, (..., L, 1) instead of (..., L)

    It broadcasts against (..., L) to something else.
    """

    def shape_lse(self) -> None:
        """Not squeezed."""


class LseInHalf(Lse):
    """lse is rounded to the dtype of the inputs, float16 or bfloat16

    An lse of 10 is then off by some thousandths, and so is every part that is merged by it.
    """

    see = "flash#Precision"

    def shape_lse(self) -> None:
        self.lse = self.lse.squeeze(-1).to(self.dtype)


class LseAlwaysFloat32(Lse):
    """lse is float32 for float64 inputs too

    Half of its digits are lost, and those of every merge.
    """

    see = "flash#Precision"

    def shape_lse(self) -> None:
        self.lse = self.lse.squeeze(-1).float()


class LseOfEmptyRow(Lse):
    """lse of a query that may attend to nothing is 0, or another finite number, instead of -inf

    In a merge a part that has nothing to say counts.
    """

    see = "flash#Masks-and-empty-rows"

    def log_sum(self) -> None:
        super().log_sum()
        self.lse = torch.where(self.total == 0, 0.0, self.lse)


class _OneTiny(LseOfEmptyRow):
    def log_sum(self) -> None:
        Blockwise.log_sum(self)
        self.lse = torch.where(self.total == 0, -1e9, self.lse)


class LseFirst(Lse):
    """lse and the output are returned in the wrong order

    The caller takes one for the other.
    """

    def answer(self) -> object:
        return self.lse, self.output


class LseDetached(Lse):
    """no gradient flows through lse: it is detached, or made without one

    The output trains as it should, and what is merged by lse does not.
    """

    def shape_lse(self) -> None:
        self.lse = self.lse.squeeze(-1).detach()


# ------------------------------------------------------------------------------------------------ precision


class HalfThroughout(Precision):
    """half inputs are computed in half precision, the sums too

    Sums of some thousand keys lose what is added last, and lse has three digits.
    """

    def receive(self) -> None:
        """As they are."""


class _HalfToFloat(HalfThroughout):
    def shape_lse(self) -> None:
        lse = self.lse.squeeze(-1)
        self.lse = lse.float() if lse.dtype.itemsize < 4 else lse


class ScoresInHalf(Precision):
    """scores of half inputs are rounded to half precision, or their query is when it is scaled; what follows is float32

    A score of 10 is off by some thousandths, and so is lse.
    """

    narrow: torch.dtype

    def receive(self) -> None:
        self.narrow = self.query.dtype
        Blockwise.receive(self)

    def multiply(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        return self._product(rows, columns) * self.factor

    def _product(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        return (rows.to(self.narrow) @ columns.to(self.narrow).transpose(-2, -1)).to(rows.dtype)


class _ScaledBeforeInHalf(ScoresInHalf):
    def multiply(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        return self._product(rows.to(self.narrow) * self.factor, columns)


class _ScaledInHalf(ScoresInHalf):
    def multiply(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """Only the query is rounded."""
        return (rows.to(self.narrow) * self.factor).to(rows.dtype) @ columns.transpose(-2, -1)


class FloatThroughout(Precision):
    """all of the work is done in float32, on float64 inputs too

    Seven digits are right instead of fifteen.
    """

    def receive(self) -> None:
        self.query, self.key, self.value = self.query.float(), self.key.float(), self.value.float()

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        """float64 outputs that are float32 numbers all, where a check asks for more digits than those have."""
        return check.strict and any(map(are_float32, tensors(check.steps[-1].reply.get("value"))))
