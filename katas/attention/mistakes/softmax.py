"""Mistakes in the softmax and in its precision."""

import torch
from torch import Tensor

from grading.diagnosis.matching import are_float32
from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from grading.diagnosis.run import Call
from katas.attention.program import Attention, Core


class Softmax(Mistake, Core):
    see = "sdpa#Softmax"

    def _over(self, dim: int) -> Tensor:
        """The softmax over another dimension."""
        return self.soften(self.scores.movedim(dim, -1)).movedim(-1, dim).contiguous()  # dropout goes by memory


class SoftmaxOverQueries(Softmax):
    """the softmax runs over the queries (dim=-2) instead of over the keys (dim=-1)

    Columns of the weights sum to 1 instead of rows.
    """

    often = True

    def spread(self) -> None:
        self.weights = self._over(-2)


class SoftmaxOverHeads(Softmax):
    """the softmax runs over the heads (dim=1) instead of over the keys (dim=-1)

    The heads compete for a key instead of the keys for a query.
    """

    often = True
    needs = ("split",)

    def spread(self) -> None:
        self.weights = self._over(1)


class SoftmaxDim1(Softmax):
    """the softmax runs over dim=1, which is the keys only for inputs of two dimensions

    Right without leading dimensions, wrong with them.
    """

    needs = ("deliver",)

    def spread(self) -> None:
        self.weights = self._over(1)


class SoftmaxDim2(Softmax):
    """the softmax runs over dim=2, which is the keys only for inputs of three dimensions

    Right with one leading dimension, wrong with two.
    """

    needs = ("deliver",)

    def spread(self) -> None:
        self.weights = self._over(2)


class SoftmaxOverGroup(Softmax):
    """the softmax runs over the query heads of a group instead of over the keys

    The weights of a group sum to 1, those of a query do not.
    """

    needs = ("validate_groups",)

    def spread(self) -> None:
        groups = self.scores.unflatten(1, (-1, self.group()))  # type: ignore[attr-defined,no-untyped-call]
        self.weights = self.soften(groups.movedim(2, -1)).movedim(-1, 2).flatten(1, 2).contiguous()


class SoftmaxOverBatch(Softmax):
    """the softmax runs over the first dimension (dim=0) instead of over the keys (dim=-1)

    An example changes with the others in its batch.
    """

    def spread(self) -> None:
        self.weights = self._over(0)


class SoftmaxWithoutDim(Softmax):
    """functional.softmax is called without dim and chooses one: 0 for three dimensions, 1 for two and for four

    Right without leading dimensions, wrong with them.
    """

    needs = ("deliver",)

    def spread(self) -> None:
        self.weights = self._over(0 if self.scores.dim() in (0, 1, 3) else 1)


class SoftmaxOverAll(Softmax):
    """the softmax runs over queries and keys together, as after flatten(-2)

    All the weights of a matrix sum to 1 instead of each row of it.
    """

    def spread(self) -> None:
        self.weights = self.soften(self.scores.flatten(-2)).unflatten(-1, self.scores.shape[-2:])  # type: ignore[no-untyped-call]


class SoftmaxMissing(Softmax):
    """the scores are used as weights, without a softmax

    The weights are negative or above 1, and do not sum to 1.
    """

    often = True

    def soften(self, scores: Tensor) -> Tensor:
        return scores


class _MissingAndMultiplied(SoftmaxMissing):
    def fill(self) -> None:
        """Hidden scores are multiplied by 0, as the softmax would have made them."""

    def soften(self, scores: Tensor) -> Tensor:
        return scores if self.mask is None else scores * self.mask


class EpsilonInTheSum(Softmax):
    """a small number such as 1e-6 is added to the sum that the weights are divided by

    The weights of a query sum to a little less than 1.
    """

    epsilon: float = 1e-6

    def soften(self, scores: Tensor) -> Tensor:
        powers = (scores - scores.amax(dim=-1, keepdim=True)).exp()
        return powers / (powers.sum(dim=-1, keepdim=True) + self.epsilon)


class _OfFive(EpsilonInTheSum):
    epsilon = 1e-5


class _OfSeven(EpsilonInTheSum):
    epsilon = 1e-7


class _OfEight(EpsilonInTheSum):
    epsilon = 1e-8


class SoftmaxUndivided(Softmax):
    """the exponentials of the scores are used as weights, not divided by their sum

    The weights of a query do not sum to 1.
    """

    def soften(self, scores: Tensor) -> Tensor:
        return scores.exp()


class _UndividedAfterMaximum(SoftmaxUndivided):
    def soften(self, scores: Tensor) -> Tensor:
        return (scores - scores.amax(dim=-1, keepdim=True)).exp()


class SoftmaxDividedBySumOfScores(Softmax):
    """the scores are divided by their sum instead of their exponentials

    There is no exponential: the weights sum to 1, and may be negative.
    """

    def soften(self, scores: Tensor) -> Tensor:
        return scores / scores.sum(dim=-1, keepdim=True)


class SoftmaxTwice(Softmax):
    """the softmax is taken twice

    The weights are nearly equal, for they are a softmax of numbers between 0 and 1.
    """

    def soften(self, scores: Tensor) -> Tensor:
        return scores.softmax(dim=-1).softmax(dim=-1)


class LogSoftmax(Softmax):
    """log_softmax is taken instead of softmax

    The weights are negative and do not sum to 1.
    """

    def soften(self, scores: Tensor) -> Tensor:
        return scores.log_softmax(dim=-1)


class SigmoidForSoftmax(Softmax):
    """the weights are the sigmoid of each score instead of the softmax over the keys

    The keys do not compete: the weights of a query do not sum to 1.
    """

    def soften(self, scores: Tensor) -> Tensor:
        return scores.sigmoid()


class SoftmaxBase2(Softmax):
    """the softmax takes powers of 2 instead of powers of e

    The softmax is too flat: the scores are multiplied by log(2).
    """

    def temper(self) -> None:
        super().temper()
        self.scores = self.scores * 0.6931471805599453


class SoftmaxWithoutMaximum(Softmax):
    """the softmax is exp(scores) / exp(scores).sum(), without subtracting the largest score first (at most a constant)

    Right for small scores; above 709 (float64) or 88 (float32) exp is inf, and inf / inf is NaN.
    """

    def soften(self, scores: Tensor) -> Tensor:
        return _ratio(scores)


class SoftmaxMaximumOfAll(SoftmaxWithoutMaximum):
    """the largest score of all rows, or of all the batch, is subtracted before exp instead of that of each row

    Rows far below the largest one become 0 / 0.
    """

    def soften(self, scores: Tensor) -> Tensor:
        return _ratio(scores - scores.max())


class _ConstantForMaximum(SoftmaxWithoutMaximum):
    def soften(self, scores: Tensor) -> Tensor:
        return _ratio(scores - 10.0)


class _SumOfZeroGuarded(SoftmaxWithoutMaximum):
    def soften(self, scores: Tensor) -> Tensor:
        powers = scores.exp()
        total = powers.sum(dim=-1, keepdim=True)
        return powers / total.masked_fill(total == 0, 1.0)


class SoftmaxPlusOne(Softmax):
    """1 is added to the sum by which the softmax divides, so that the weights of a row sum to less than 1

    Every output is too small.
    """

    def soften(self, scores: Tensor) -> Tensor:
        return _ratio(scores - scores.amax(dim=-1, keepdim=True), 1.0)


class _PlusOneAtZero(SoftmaxPlusOne):
    def soften(self, scores: Tensor) -> Tensor:
        return _ratio(scores, 1.0)


class SoftmaxInFloat32(Softmax):
    """the softmax is taken in float32 although the inputs are float64

    Seven digits are right instead of fifteen.
    """

    see = "sdpa#Half-precision"

    def soften(self, scores: Tensor) -> Tensor:
        dtype = scores.dtype
        return super().soften(scores.float() if dtype == torch.float64 else scores).to(dtype)


class AllInFloat32(Softmax):
    """all of the work is done in float32 and cast back, although the inputs are float64

    Seven digits are right instead of fifteen.
    """

    see = "sdpa#Half-precision"

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        """Which float32 numbers depends on the order of the work; that each of them is one is no chance."""
        calls = check.calls()[-1:] if check.strict else []
        return any(heads is not None and are_float32(heads) for heads in map(_before_o_proj, calls))


def _before_o_proj(call: Call) -> Tensor | None:
    """What came out of the heads: of a layer by undoing o_proj, a square matrix."""
    got = call.got[0] if isinstance(call.got, tuple | list) and call.got else call.got
    if not isinstance(got, Tensor) or got.dtype != torch.float64 or got.dim() < 2:
        return None
    weight, bias = call.weights.get("o_proj.weight"), call.weights.get("o_proj.bias")
    if weight is None:
        return got
    given = got if bias is None else got - bias
    return torch.linalg.solve(weight.T.to(given), given, left=False) if given.size(-1) == weight.size(0) else None


class HalfSoftmax(Softmax):
    """the softmax is taken in float16 or bfloat16 whatever the inputs are

    Three digits are right.
    """

    see = "sdpa#Half-precision"

    def soften(self, scores: Tensor) -> Tensor:
        return super().soften(scores.half()).to(scores.dtype)


class ResultInFloat32(Softmax, Attention):
    """the result of the computation in float32 is not cast back to the dtype of query

    float16 goes in and float32 comes out.
    """

    see = "sdpa#Half-precision"

    def deliver(self) -> None:
        if self.output.dtype in (torch.float16, torch.bfloat16):
            self.output = self.output.float()


class _HalfCast(ResultInFloat32):
    def receive(self) -> None:
        if self.query.dtype in (torch.float16, torch.bfloat16):
            self.query, self.key, self.value = self.query.float(), self.key.float(), self.value.float()

    def deliver(self) -> None:
        """It stays as it is."""


class _AllCast(_HalfCast):
    def receive(self) -> None:
        self.query, self.key, self.value = self.query.float(), self.key.float(), self.value.float()


def _ratio(scores: Tensor, more: float = 0.0) -> Tensor:
    """The powers over their sum, to which `more` is added."""
    powers = scores.exp()
    return powers / (powers.sum(dim=-1, keepdim=True) + more)
