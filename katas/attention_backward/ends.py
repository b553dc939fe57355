"""Mistakes before and after: masks in one pass alone, what is returned, dtypes, and inputs that are changed."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from grading.diagnosis.matching import are_float32
from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from grading.diagnosis.run import Run
from katas.attention_backward.program import AttentionBackward

ROUNDING = 1e-3  # of float16, twice
LEAST, MOST = 8.0, 4.0  # how many times less, or more, another order of the work in half precision may be off


class Masks(Mistake, AttentionBackward):
    see = "attention_backward#Masks-and-empty-rows"


class Results(Mistake, AttentionBackward):
    see = "attention_backward#What-comes-back"


# ------------------------------------------------------------------------------------------------- masks


class MaskBehindAlone(Masks):
    """the gradients of hidden scores are set to zero, and the weights are those of all keys

    The softmax of the forward pass was over the keys that are seen, and the one here is not.
    """

    def fill(self) -> None:
        """Nothing is hidden in the scores."""

    def clear(self) -> None:
        """No row is empty."""

    def hide(self) -> None:
        if self.mask is not None:
            self.gradient = self.gradient.masked_fill(~self.mask, 0.0)


class ValueUnmasked(Masks):
    """the gradient of value comes from the weights of all keys, and those of query and key from the masked ones

    There are two sets of weights in the code, and the wrong one is transposed.
    """

    def find_mixing(self) -> None:
        self.mixing = (self.query * self.factor @ self.key.transpose(-2, -1)).softmax(dim=-1)


class EmptyRowsToValue(Masks):
    """a query that may attend to nothing is given equal weights on the way to value

    Its gradients of query and key are zero, and it adds its share of grad_output to each value.
    """

    def find_mixing(self) -> None:
        self.mixing = self.weights
        if self.mask is not None:
            empty = ~self.mask.any(dim=-1, keepdim=True)
            self.mixing = self.weights.masked_fill(empty, 1 / self.key.size(-2))


# ----------------------------------------------------------------------------------------------- results


class KeyAndValueExchanged(Results):
    """the gradients of key and value are returned in each other's place

    Shapes tell it where E and Ev differ.
    """

    def hand_out(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.grad_query, self.grad_value, self.grad_key


class QueryAndKeyExchanged(Results):
    """the gradients of query and key are returned in each other's place

    Shapes tell it where L and S differ.
    """

    def hand_out(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.grad_key, self.grad_query, self.grad_value


class ValueFirst(Results):
    """the gradients are returned in the order in which they are found: value, query, key

    Shapes tell it where sizes differ.
    """

    def hand_out(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.grad_value, self.grad_query, self.grad_key


class _ValueKeyQuery(ValueFirst):
    def hand_out(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.grad_value, self.grad_key, self.grad_query


class GradientsNotCastBack(Results):
    """the gradients stay in the float32 of the work instead of taking the dtype of the inputs

    An optimiser, or the layer before, gets float32 for half-precision parameters.
    """

    def deliver_gradients(self) -> None:
        """The dtype of the work."""


class WorkedInHalf(Results):
    """half inputs are worked on in half precision

    Where gradients of weights are large and nearly equal, their differences are rounding.
    """

    needs = ("choose_precision",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        """Which half-precision numbers depends on the order of the work: they are off as far as these here are."""
        found = [_off(step.request, step.reply.get("value"), right) for step in check.steps if not step.error]
        return check.half and bool(found) and all(each is not None for each in found) and any(found)


def _off(request: dict[str, Any], value: Any, right: type[Program]) -> bool | None:
    """Whether gradients are off by more than their rounding; None where it is more than half precision brings about."""
    if request["do"] != "call" or not isinstance(value, tuple | list):
        return None
    in_half: type[Program] = type(right.__name__, (right,), {"choose_precision": lambda self: None})
    wanted, rough = Run(right).step(request), Run(in_half).step(request)
    if not all(isinstance(each, tuple) and len(each) == len(value) for each in (wanted, rough)):
        return None
    pairs = zip(value, wanted, strict=True)
    if any(not isinstance(a, Tensor) or a.shape != b.shape or a.dtype != b.dtype for a, b in pairs):
        return None
    triples = [[each.double() for each in three] for three in zip(value, wanted, rough, strict=True)]
    far = [(float((a - b).abs().amax()), float((c - b).abs().amax()), float(b.abs().amax())) for a, b, c in triples]
    # all that suffers in half precision has to be off, and none more than that
    if not all(
        worst / LEAST <= off + ROUNDING * size <= MOST * worst + 2 * ROUNDING * size for off, worst, size in far
    ):
        return None
    return any(off > ROUNDING * size for off, _, size in far)


class GradientsInFloat32(Results):
    """the work is done in float32, although the inputs are float64

    Seven digits are right instead of fifteen.
    """

    needs = ("choose_precision",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        """Which float32 numbers depends on the order of the work; that all of them are such is no chance."""
        found = [step.reply.get("value") for step in check.steps][-1:]
        each = [part for value in found if isinstance(value, tuple | list) for part in value]
        rounded = [are_float32(part) for part in each if isinstance(part, Tensor)]
        return check.strict and len(rounded) == 3 and all(rounded)


class GradOutputChangedInPlace(Results):
    """grad_output is changed in place: the caller's tensor is not what it was

    Whoever else goes back from the same output goes on with other numbers.
    """

    needs = ("find_slopes",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return "grad_output" in check.modified()
