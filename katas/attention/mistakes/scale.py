"""Mistakes in the scale of the scores, and in what is multiplied with what."""

import math

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.attention.program import Attention, Core, Projected


class Scale(Mistake, Core):
    see = "sdpa#Scale"


class ScaleMissing(Scale):
    """the scores are not scaled by 1/sqrt(head_dim)

    The softmax is too sharp, the more so the larger head_dim is.
    """

    often = True

    def scale(self) -> None:
        self.factor = 1.0


class ScaleDModel(Scale, Projected):
    """the scores are scaled by 1/sqrt(d_model) instead of 1/sqrt(head_dim)

    The softmax is too flat; right with one head only.
    """

    often = True
    needs = ("split",)

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.d_model)


class ScaleHeadDim(Scale):
    """the scores are divided by head_dim instead of by its square root (or twice by the root)

    The softmax is too flat.
    """

    often = True

    def scale(self) -> None:
        self.factor = 1.0 / self.head_dim


class ScaleFourthRoot(Scale):
    """the scores are scaled by head_dim ** -0.25 once (on the queries or on the keys, not on both)

    The softmax is too sharp: half of the scale is missing.
    """

    def scale(self) -> None:
        self.factor = self.head_dim**-0.25


class ScaleRootCut(Scale):
    """the root of head_dim is cut off to a whole number, as by isqrt or int(head_dim ** 0.5)

    Right where head_dim is a square, such as 4, 16 or 64.
    """

    def scale(self) -> None:
        self.factor = 1.0 / math.isqrt(self.head_dim)


class ScaleMultiplied(Scale):
    """the scores are multiplied by sqrt(head_dim) instead of divided by it

    The softmax is far too sharp.
    """

    often = True

    def scale(self) -> None:
        self.factor = math.sqrt(self.head_dim)


class ScaleMultipliedByHeadDim(Scale):
    """the scores are multiplied by head_dim instead of divided by its square root

    The softmax is far too sharp.
    """

    def scale(self) -> None:
        self.factor = float(self.head_dim)


class ScaleKeyLength(Scale):
    """the scores are scaled by 1/sqrt(S), S the number of keys, instead of 1/sqrt(head_dim)

    The same tokens attend differently in a longer sequence.
    """

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.key.size(-2))


class ScaleQueryLength(Scale):
    """the scores are scaled by 1/sqrt(L), L the number of queries, instead of 1/sqrt(head_dim)

    The same query attends differently when it comes with others.
    """

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.query.size(-2))


class ScaleNumHeads(Scale):
    """the scores are scaled by 1/sqrt(num_heads) instead of 1/sqrt(head_dim)

    The softmax is too sharp or too flat, unless there are as many heads as features in a head.
    """

    often = True
    needs = ("split",)

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.heads)


class ScaleKvWidth(Scale, Projected):
    """the scores are scaled by the width of k_proj, num_kv_heads * head_dim, instead of by head_dim

    The softmax is too flat; right with one key/value head only.
    """

    needs = ("group",)

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.kv_heads * self.head_dim)


class ScaleDModelOverKvHeads(Scale, Projected):
    """the factor is 1/sqrt(d_model // num_kv_heads) instead of 1/sqrt(d_model // num_heads)

    The scores are too small by the root of the number of heads in a group.
    """

    needs = ("validate_groups",)

    def scale(self) -> None:
        self.factor = (self.d_model // self.kv_heads) ** -0.5


class ScaleKvHeads(Scale, Projected):
    """the scores are scaled by 1/sqrt(num_kv_heads) instead of 1/sqrt(head_dim)

    The softmax is too sharp or too flat.
    """

    needs = ("validate_groups",)

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.kv_heads)


class ScaleBatch(Scale):
    """the scores are scaled by the square root of the first dimension (size(0)) instead of that of head_dim

    An example changes with the size of its batch.
    """

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.query.size(0))


class ScaleSecondDimension(Scale):
    """the scores are scaled by the square root of the second dimension (size(1)) instead of that of the last

    Right for none but inputs of two dimensions.
    """

    needs = ("deliver",)

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.query.size(1))


class ScaleValueDim(Scale):
    """the scores are scaled by 1/sqrt(Ev), the width of value, instead of 1/sqrt(E)

    Right as long as value is as wide as query and key.
    """

    needs = ("deliver",)

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.value.size(-1))


class ScaleConstant(Scale):
    """the scores are scaled by a constant such as 0.5 or 1/8, which is 1/sqrt(head_dim) for one head_dim alone

    Right for head_dim 4 or 64, wrong for all others.
    """

    last = True

    def scale(self) -> None:
        self.factor = 0.5

    @staticmethod
    def refuted(check: Check, right: type[Program]) -> bool:
        """A constant that is right for some sizes only is another number that happens to be as large there."""
        return check.telling and not (check.half or check.has_mask or check.has_dropout or check.raised())


class _Eighth(ScaleConstant):
    def scale(self) -> None:
        self.factor = 0.125


class _Quarter(ScaleConstant):
    def scale(self) -> None:
        self.factor = 0.25


class _Tenth(ScaleConstant):
    def scale(self) -> None:
        self.factor = 0.1


class _RootOfAnEighth(ScaleConstant):
    def scale(self) -> None:
        self.factor = 8**-0.5


class _RootOf128(ScaleConstant):
    def scale(self) -> None:
        self.factor = 128**-0.5


class ScaleAfterSoftmax(Scale):
    """the weights are scaled by 1/sqrt(head_dim) after the softmax instead of the scores before it

    The weights of a query sum to 1/sqrt(head_dim), and the softmax is too sharp.
    """

    often = True

    def scale(self) -> None:
        self.factor = 1.0

    def correct(self) -> None:
        super().correct()
        self.weights = self.weights / math.sqrt(self.head_dim)


class WeightsScaledToo(ScaleAfterSoftmax):
    """the weights are scaled by 1/sqrt(head_dim) after the softmax, and the scores before it too

    The weights of a query sum to 1/sqrt(head_dim).
    """

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.head_dim)


class ScaleBeforeTheMinus(Scale):
    """the sign of the scores is wrong, as with a distance of query and key: they are multiplied by -1/sqrt(head_dim)

    The least similar keys get the most weight.
    """

    def scale(self) -> None:
        self.factor = -1.0 / math.sqrt(self.head_dim)


class RootInFloat32(Scale):
    """the root of head_dim is a float32 tensor, which rounds 1/sqrt(head_dim) to seven digits

    Seven digits are right instead of fifteen.
    """

    see = "sdpa#Half-precision"

    def scale(self) -> None:
        self.factor = 1.0 / float(torch.tensor(float(self.head_dim)).sqrt())


class _FactorInFloat32(RootInFloat32):
    def scale(self) -> None:
        self.factor = float(1.0 / torch.tensor(float(self.head_dim)).sqrt())


class ScaleAfterProduct(Scale):
    """the product of query and key is taken in float16 before it is scaled, and exceeds 65,504

    Large float16 inputs give inf, and then NaN.
    """

    see = "sdpa#Half-precision"

    def multiply(self, rows: Tensor, columns: Tensor) -> Tensor:
        return (rows @ columns.transpose(-2, -1)) * self.factor


class Sum(Mistake, Core):
    see = "sdpa#Weighted-sum"


class ValuesAsKeys(Sum):
    """the scores are query times value instead of query times key

    The keys have no effect on who attends to whom.
    """

    def operands(self) -> tuple[Tensor, Tensor]:
        return super().operands()[0], self.value


class QueriesAsKeys(Sum):
    """the scores are query times query instead of query times key

    Works for L == S only, and the keys have no effect.
    """

    def operands(self) -> tuple[Tensor, Tensor]:
        return self.query, self.query


class KeysAsQueries(Sum):
    """the scores are key times key instead of query times key

    Works for L == S only, and the queries have no effect.
    """

    def operands(self) -> tuple[Tensor, Tensor]:
        return self.key, self.key


class KeysTransposedByNumber(Sum):
    """the keys are transposed by transpose(1, 2), which is S and E for inputs of three dimensions alone

    Right with one leading dimension; with none, or with two, it raises an error or exchanges other dimensions.
    """

    needs = ("deliver",)

    def multiply(self, rows: Tensor, columns: Tensor) -> Tensor:
        return super().multiply(rows, columns.transpose(1, 2).transpose(-2, -1))


class ScoresTransposed(Sum):
    """the scores are key times query: their rows are keys and their columns queries

    Works for L == S only, and each query attends as its key should be attended to.
    """

    def operands(self) -> tuple[Tensor, Tensor]:
        rows, columns = super().operands()
        return columns, rows


class KeysAsValues(Sum):
    """the weights are applied to key instead of to value

    The values have no effect.
    """

    often = True

    def summands(self) -> Tensor:
        return self.key


class QueriesAsValues(Sum):
    """the weights are applied to query instead of to value

    The values have no effect, and S has to be L.
    """

    def summands(self) -> Tensor:
        return self.query


class WeightsTransposed(Sum):
    """the transpose of the weights is applied to value

    Works for L == S only, and each key is given what its query should get.
    """

    def weigh(self) -> None:
        self.weights = self.weights.transpose(-2, -1)
        super().weigh()


class WeightsReturned(Sum, Attention):
    """the weights are returned instead of the weighted sum of the values

    The output is (..., L, S) and its rows sum to 1.
    """

    needs = ("deliver",)

    def weigh(self) -> None:
        self.output = self.weights


class WeightsReturnedToo(Sum):
    """the output is returned together with the weights, as a tuple, instead of alone

    The caller has to unpack what should be one tensor.
    """

    needs = ("orient",)

    def answer(self) -> object:
        return self.output, self.weights


class ValueTransposed(Sum):
    """the weights are applied to value in the wrong order: value^T times weights^T, or a sum over another axis

    The output has its last two dimensions exchanged.
    """

    def weigh(self) -> None:
        super().weigh()
        self.output = self.output.transpose(-2, -1)


class _AndReadBack(ValueTransposed, Projected):
    def merge(self) -> None:
        """As if the last two dimensions were in order."""
        B, L, output = self.output.size(0), self.output.size(-1), self.output.transpose(1, 2)
        self.output = output.reshape(B, L, -1)
