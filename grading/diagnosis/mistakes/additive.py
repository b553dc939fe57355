"""Mistakes in the additive form of a mask."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from grading.diagnosis.mistakes.record import Mistake, Swap
from grading.diagnosis.pipeline import State

_POLARITY = "causal_mask.ipynb#Polarity"
_FILL = "causal_mask.ipynb#Fill"
_KATA = ("causal_mask",)


def _additive(fill: Callable[[Tensor, torch.dtype], Tensor]) -> Swap:
    """fill(mask, dtype) is the additive mask."""

    def add_fill(state: State) -> State:
        assert state.mask is not None
        return state._replace(output=fill(state.mask, state.dtype))

    return {"add_fill": add_fill}


def _zeros(value: float) -> Swap:
    return _additive(lambda mask, dtype: torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, value))


MISTAKES = (
    Mistake(
        "additive-inverted",
        _KATA,
        "add_fill",
        "additive_mask has -inf where the mask is True and 0 where it is False",
        "What may be attended to is hidden.",
        _POLARITY,
        (_additive(lambda mask, dtype: torch.zeros(mask.shape, dtype=dtype).masked_fill(mask, -math.inf)),),
    ),
    Mistake(
        "additive-finite",
        _KATA,
        "add_fill",
        "additive_mask has a large negative number instead of -inf",
        "A row without keys becomes a mean of all the values, and float16 may not hold the number.",
        _FILL,
        (
            _zeros(-1e9),
            _additive(lambda mask, dtype: torch.zeros(mask.shape).masked_fill(~mask, -1e9)),
            _additive(
                lambda mask, dtype: torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)
            ),
            _zeros(-1e4),
        ),
    ),
    Mistake(
        "additive-zero-times-infinity",
        _KATA,
        "add_fill",
        "additive_mask is (1 - mask) * -inf, where 0 * -inf is NaN",
        "Every key that is allowed has NaN.",
        _FILL,
        (_additive(lambda mask, dtype: (~mask).to(dtype) * -math.inf),),
    ),
    Mistake(
        "additive-one-where-allowed",
        _KATA,
        "add_fill",
        "additive_mask has 1 where the mask is True instead of 0",
        "The softmax does not notice, as all allowed scores move alike; the mask is not what was asked for.",
        _FILL,
        (_additive(lambda mask, dtype: mask.to(dtype).masked_fill(~mask, -math.inf)),),
    ),
    Mistake(
        "additive-ones-and-zeros",
        _KATA,
        "add_fill",
        "additive_mask is the mask as 1 and 0 instead of 0 and -inf",
        "Added to scores it hides nothing.",
        _FILL,
        (_additive(lambda mask, dtype: mask.to(dtype)),),
    ),
    Mistake(
        "additive-positive",
        _KATA,
        "add_fill",
        "additive_mask has +inf instead of -inf",
        "The softmax of a row with +inf is NaN.",
        _FILL,
        (_zeros(math.inf),),
    ),
    Mistake(
        "additive-dtype-ignored",
        _KATA,
        "deliver",
        "additive_mask ignores dtype and is always float32",
        "float16 scores become float32 when it is added.",
        _FILL,
        ({"deliver": lambda state: state._replace(output=state.output.float())},),
    ),
)
