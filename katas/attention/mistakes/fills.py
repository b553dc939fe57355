"""Mistakes in applying a mask, and the styles of doing it right."""

import math

import torch

from grading.diagnosis.matching import tensors
from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.attention.program import Attention, Core, Layer


class Style(Mistake, Core):
    """Right ways to treat what is hidden, and what may follow upon a wrong one: of use where other mistakes show it."""

    beside = frozenset(
        {"align", "align_causal", "orient", "score", "operands", "multiply", "fill", "temper", "spread", "soften"}
    )
    sound = True


class HalvesInFloat32(Style, Attention):
    """float16 and bfloat16 are computed in float32 and cast back at the end."""

    def receive(self) -> None:
        super().receive()
        if self.query.dtype.itemsize < 4:
            self.query, self.key, self.value = self.query.float(), self.key.float(), self.value.float()


class NanToNum(Style):
    """-inf everywhere, and NaN to zero after the softmax."""

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores.masked_fill(~self.mask, -math.inf)

    def clear(self) -> None:
        self.weights = self.weights.nan_to_num(0.0)


class LowestAndWeightsCleared(Style):
    """The lowest number everywhere, and the hidden weights to zero after the softmax."""

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores.masked_fill(~self.mask, torch.finfo(self.scores.dtype).min)

    def clear(self) -> None:
        if self.mask is not None:
            self.weights = self.weights.masked_fill(~self.mask, 0.0)


class LowestAndRowsCleared(Style):
    """The lowest number everywhere, and the rows without keys to zero after the softmax."""

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores.masked_fill(~self.mask, torch.finfo(self.scores.dtype).min)


class InfinityAndRowsCleared(Style):
    """-inf everywhere, and the rows without keys to zero after the softmax."""

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores.masked_fill(~self.mask, -math.inf)


class InfinityAndNothingCleared(Style):
    """-inf everywhere, and nothing done after the softmax: right where no row is without keys."""

    needs = ("align_causal",)

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores.masked_fill(~self.mask, -math.inf)

    def clear(self) -> None:
        """There is no row without keys."""


class LowestAndNothingCleared(InfinityAndNothingCleared):
    """A large negative number everywhere, and nothing done after the softmax: right where no row is without keys."""

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores.masked_fill(~self.mask, -1e9)


class RowsOfTheGivenMaskCleared(Style):
    """The same, but for the rows of the mask as it was given, where a mistake turned it round."""

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores.masked_fill(~self.mask, -math.inf)

    def clear(self) -> None:
        if self.given is not None:
            self.weights = self.weights.masked_fill(~self.given.any(dim=-1, keepdim=True), 0.0)


class Aftermath(Style):
    """What may follow upon a wrong way to hide scores."""

    sound = False


class NothingCleared(Aftermath):
    """Nothing is done after the softmax."""

    def clear(self) -> None:
        """Whatever the softmax made of it."""


class NanCleared(Aftermath):
    """NaN to zero after the softmax."""

    def clear(self) -> None:
        self.weights = self.weights.nan_to_num(0.0)


class WeightsCleared(Aftermath):
    """The hidden weights to zero after the softmax."""

    def clear(self) -> None:
        if self.mask is not None:
            self.weights = self.weights.masked_fill(~self.mask, 0.0)


class WeightsOfTheGivenMaskCleared(Aftermath):
    """The same by the mask as it was given."""

    def clear(self) -> None:
        if self.given is not None:
            self.weights = self.weights.masked_fill(~self.given, 0.0)


class Fill(Mistake, Core):
    """A number in the place of hidden scores."""

    grouping = True
    number: float = 0.0

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores.masked_fill(~self.mask, self.number)


class MaskAdded(Mistake, Core):
    """the boolean mask is added to the scores as 1 and 0

    Allowed keys get a score higher by 1; nothing is hidden.
    """

    often = True
    see = "causal_mask#Fill"

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores + self.mask


class FillZero(Fill):
    """masked scores are set to 0, or to a number near 0 such as 1e-9 or -1e-9, before the softmax instead of to -inf

    exp(0) is 1: masked keys keep a weight, often most of it.
    """

    often = True
    see = "causal_mask#Fill"


class FillMinusOne(FillZero):
    """masked scores are set to -1 before the softmax instead of to -inf

    exp(-1) is 0.37: masked keys keep a weight.
    """

    number = -1.0


class FillPositive(Fill):
    """masked scores are set to a large positive number instead of a negative one

    All the weight goes to what is masked.
    """

    see = "causal_mask#Fill"
    number = 1e9

    def orient(self) -> None:
        """Not together with an inverted mask: two signs lost are none, but for what was masked."""


class _PositiveInfinity(FillPositive):
    number = math.inf


class MaskAfterSoftmax(Mistake, Core):
    """the weights are set to 0 after the softmax instead of the scores to -inf before it

    The weights of a query do not sum to 1: the masked keys took their share first.
    """

    often = True
    see = "causal_mask#Fill"

    def fill(self) -> None:
        """Not here."""

    def correct(self) -> None:
        super().correct()
        if self.mask is not None:
            self.weights = self.weights.masked_fill(~self.mask, 0.0)


class MaskRenormalised(Mistake, Core):
    """the softmax is taken over all keys, with their maximum; masked after that, and divided by what is left of its sum

    Right unless a masked key has nearly all the weight or no key is left: then it is 0, or 0 / 0.
    """

    see = "causal_mask#Fill"

    def fill(self) -> None:
        """Not here."""

    def clear(self) -> None:
        if self.mask is not None:
            weights = self.weights * self.mask
            self.weights = weights / weights.sum(dim=-1, keepdim=True)


class _RenormalisedToZero(MaskRenormalised):
    def clear(self) -> None:
        if self.mask is not None:
            weights = self.weights * self.mask
            total = weights.sum(dim=-1, keepdim=True)
            self.weights = weights / total.masked_fill(total == 0, 1.0)


class HiddenExponentials(Mistake, Core):
    """exp is taken of masked scores too, less the maximum of the others, and what it gives is dropped afterwards

    Right forwards; where a masked score is far larger its exp is inf, and the gradient 0 * inf is NaN.
    """

    see = "causal_mask#Fill"

    def fill(self) -> None:
        """Not here."""

    def soften(self, scores: torch.Tensor) -> torch.Tensor:
        mask = torch.ones((), dtype=torch.bool) if self.mask is None else self.mask
        top = scores.masked_fill(~mask, -math.inf).amax(dim=-1, keepdim=True).detach()
        powers = (scores - top.masked_fill(top == -math.inf, 0.0)).exp()
        powers = torch.where(mask, powers, torch.zeros_like(powers))
        total = powers.sum(dim=-1, keepdim=True)
        return powers / total.masked_fill(total == 0, 1.0)


class AnyMaskedClears(Mistake, Core):
    """a query that may not attend to some key gets zeros, as with mask.all where mask.any is meant

    Only queries that see every key are left.
    """

    see = "causal_mask#Fill"

    def clear(self) -> None:
        super().clear()
        if self.mask is not None:
            self.weights = self.weights.masked_fill(~self.mask.all(dim=-1, keepdim=True), 0.0)


class InfinityAfterSoftmax(Mistake, Core):
    """the weights are set to -inf where masked, after the softmax, instead of the scores before it

    -inf times a value is infinite, and two of them with different signs are NaN.
    """

    see = "causal_mask#Fill"

    def fill(self) -> None:
        """Not here."""

    def clear(self) -> None:
        if self.mask is not None:
            self.weights = self.weights.masked_fill(~self.mask, -math.inf)


class LargeAfterSoftmax(Mistake, Core):
    """the weights are set to -1e9 where masked, after the softmax, instead of the scores before it

    The output is a billion times a masked value.
    """

    see = "causal_mask#Fill"

    def fill(self) -> None:
        """Not here."""

    def clear(self) -> None:
        if self.mask is not None:
            self.weights = self.weights.masked_fill(~self.mask, -1e9)


class ZeroTimesInfinity(Mistake, Core):
    """the mask is added as (1 - mask) * -inf, where 0 * -inf is NaN

    Every score that is allowed becomes NaN.
    """

    see = "causal_mask#Fill"

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores + (~self.mask).to(self.scores.dtype) * -math.inf

    def clear(self) -> None:
        """The NaN stays."""


class EmptyRowNan(Mistake, Core):
    """a query that may attend to nothing has a softmax of -inf alone, which is NaN, and is not set to zero

    Its row of the output is NaN; all others are right.
    """

    often = True
    see = "sdpa#Empty-rows"

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores.masked_fill(~self.mask, -math.inf)

    def clear(self) -> None:
        """The NaN stays."""


class EmptyRowUniform(Fill):
    """a query that may attend to nothing attends to all keys alike, as after a large negative fill such as -1e9

    Its row of the output is the mean of the values instead of zero; all others are right.
    """

    often = True
    see = "sdpa#Empty-rows"
    number = -1e9

    def clear(self) -> None:
        """Its weights stay."""


class _Lowest(EmptyRowUniform):
    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores.masked_fill(~self.mask, torch.finfo(self.scores.dtype).min)


class EmptyRowWithoutBias(Mistake, Layer):
    """the row of a query that may attend to nothing is set to zero after o_proj instead of before it

    It lacks o_proj's bias; all others are right.
    """

    see = "sdpa#Empty-rows"
    needs = ("takes_a_mask",)

    def finish(self) -> None:
        super().finish()
        if self.mask is not None:
            empty = ~self.mask.any(dim=-1)  # (L), (B, 1, L) or (B, H, L)
            empty = empty.all(dim=1) if empty.dim() == 3 else empty
            self.output = self.output.masked_fill(empty.unsqueeze(-1), 0.0)


class EmptyRowUnmasked(Mistake, Core):
    """a large negative number is added to masked scores, which moves all the scores of an empty row alike

    A query that may attend to nothing attends as if there were no mask; all others are right.
    """

    see = "sdpa#Empty-rows"

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores + (~self.mask).to(self.scores.dtype) * -1e9

    def clear(self) -> None:
        """Its weights stay."""


class _RowLeftAlone(EmptyRowUnmasked):
    def fill(self) -> None:
        super(EmptyRowUnmasked, self).fill()


class EmptyRowNanGradient(Mistake, Core):
    """the NaN of a query that may attend to nothing is repaired when it is there: the gradient stays NaN

    The output is right, and one training step makes all weights NaN.
    """

    see = "sdpa#Empty-rows"

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores + torch.zeros_like(self.scores).masked_fill(~self.mask, -math.inf)

    def clear(self) -> None:
        self.weights = self.weights.nan_to_num(0.0)

    @staticmethod
    def refuted(check: Check, right: type[Program]) -> bool:
        """Where NaN comes out, nothing repairs it."""
        found = [each for call in check.calls() for each in tensors(call.got)]
        return not check.half and any(bool(each.isnan().any()) for each in found)


class _RepairedInTheOutput(EmptyRowNanGradient):
    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores.masked_fill(~self.mask, -math.inf)

    def clear(self) -> None:
        """Not yet."""

    def weigh(self) -> None:
        super().weigh()
        self.output = self.output.nan_to_num(0.0)


class LowestAdded(Mistake, Core):
    """the lowest number of the dtype is added to masked scores instead of put in their place

    A negative score goes to -inf with it: a row without keys has NaN, or a NaN gradient.
    """

    see = "sdpa#Empty-rows"

    def fill(self) -> None:
        if self.mask is not None:
            lowest = torch.finfo(self.scores.dtype).min
            self.scores = self.scores + torch.zeros_like(self.scores).masked_fill(~self.mask, lowest)

    def clear(self) -> None:
        if self.mask is not None:
            self.weights = self.weights.masked_fill(~self.mask, 0.0)


class FillNotLowEnough(Fill):
    """masked scores are set to a number like -10,000, and scores that are allowed can be lower than that

    Right for small scores; with large ones the weight goes to masked keys.
    """

    see = "causal_mask#Fill"
    last = True
    number = -1e4


class _TenThousandAndNothing(FillNotLowEnough):
    def clear(self) -> None:
        """Its weights stay."""


class _Thousand(FillNotLowEnough):
    number = -1e3


class _ThousandAndNothing(_TenThousandAndNothing):
    number = -1e3


class _Hundred(FillNotLowEnough):
    number = -1e2


class _Ten(FillNotLowEnough):
    number = -10.0


class AddedNotLowEnough(Mistake, Core):
    """a number like -10 or -10,000 is added to masked scores, which leaves a masked key a weight, or the row of a query
    without keys as if there were no mask

    A masked key keeps e^-10 of its weight, or all of it where it is alone with others that are masked.
    """

    see = "causal_mask#Fill"
    number: float = -10.0

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores + (~self.mask).to(self.scores.dtype) * self.number


class _AddedThousands(AddedNotLowEnough):
    number = -1e4

    def clear(self) -> None:
        """Its weights stay."""


class _AddedHundred(AddedNotLowEnough):
    number = -1e2


class FillOverflowsHalf(Fill):
    """masked scores are set to -1e9, which float16 cannot hold

    float16 inputs with a mask raise an error; other dtypes are right.
    """

    see = "sdpa#Half-precision"
    number = -1e9

    def correct(self) -> None:
        super().correct()
        if self.mask is not None:
            self.weights = self.weights.masked_fill(~self.mask, 0.0)
