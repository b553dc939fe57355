"""Mistakes in reading a mask."""

import math
from collections.abc import Callable

from torch import Tensor

from grading.diagnosis.mistakes.record import CAUSAL, CROSS, MASKED, Mistake, Swap
from grading.diagnosis.pipeline import State

_FORM = "mha.ipynb#Mask-shapes"
_POLARITY = "causal_mask.ipynb#Polarity"
_FILL = "causal_mask.ipynb#Fill"


def _mask(step: str, change: Callable[[Tensor], Tensor | None]) -> Swap:
    def swapped(state: State) -> State:
        return state if state.mask is None else state._replace(mask=change(state.mask))

    return {step: swapped}


def _cut_all_but(state: State) -> State:
    return state if state.mask is None else state._replace(weights=state.weights.masked_fill(state.mask, 0.0))


def _merge_to_model(state: State) -> State:
    """As many rows as there are: with a mask of five dimensions there are B times too many."""
    output = state.output.transpose(1, 2)
    return state._replace(output=output.reshape(output.size(0), -1, state.layers["o_proj.weight"].size(1)))


def _empty_as(value: float) -> Swap:
    """Only what an inverted mask allows; a row that then allows nothing has weights of `value`."""

    def orient(state: State) -> State:
        return state if state.mask is None else state._replace(mask=~state.mask, empty=value)

    return {"orient": orient}


def _inverted_uniform(state: State) -> State:
    return state if state.mask is None else state._replace(scores=state.scores.masked_fill(state.mask, -1e9))


_UNSQUEEZED = "every mask gets unsqueeze(1), also a mask (L, S), whose rows are then read as heads"


def _four(mask: Tensor) -> Tensor:
    return mask.unsqueeze(1) if mask.dim() == 3 else mask


MISTAKES = (
    Mistake(
        "mask-ignored",
        MASKED,
        "orient",
        "the mask is never used",
        "Every query attends to every key.",
        _FILL,
        (_mask("orient", lambda mask: None),),
    ),
    Mistake(
        "mask-always-unsqueezed",
        CROSS,
        "align",
        _UNSQUEEZED,
        "Only a mask (B, L, S) works; where L == H a mask (L, S) is applied per head, without an error.",
        _FORM,
        (
            _mask("align", lambda mask: mask.unsqueeze(1)),
            {**_mask("align", lambda mask: mask.unsqueeze(1)), "merge": _merge_to_model},
        ),
    ),
    Mistake(
        "batch-mask-read-as-heads",
        CROSS,
        "align",
        "the batch entries of a mask (B, L, S) are read as heads, as without unsqueeze(1)",
        "Fails unless B == H, and is wrong there.",
        _FORM,
        (_mask("align", lambda mask: mask),),
    ),
    Mistake(
        "mask-read-as-padding",
        CROSS,
        "align",
        "a mask of two dimensions is read as (B, S), padding of the keys, instead of as (L, S)",
        "Fails unless B == L, and is wrong there.",
        _FORM,
        (
            _mask("align", lambda mask: mask[:, None, None] if mask.dim() == 2 else _four(mask)),
            _mask("align", lambda mask: mask[:, None, None] if mask.dim() == 2 else mask),
        ),
    ),
    Mistake(
        "mask-of-first-batch-entry",
        CROSS,
        "align",
        "the mask of the first batch entry is used for all of them",
        "The other entries of the batch see the wrong keys.",
        _FORM,
        (
            _mask("align", lambda mask: _four(mask)[:1] if mask.dim() > 2 else mask),
            _mask("align", lambda mask: mask[0] if mask.dim() == 3 else mask),
        ),
    ),
    Mistake(
        "mask-of-first-head",
        CROSS,
        "align",
        "the mask of the first head is used for all heads",
        "Right for masks that are the same for all heads.",
        _FORM,
        (_mask("align", lambda mask: _four(mask)[:, :1] if mask.dim() > 2 else mask),),
    ),
    Mistake(
        "mask-transposed",
        MASKED,
        "orient",
        "the mask is read as (S, L), a row for each key, instead of (L, S), a row for each query",
        "Works for L == S only, and hides the wrong pairs.",
        _POLARITY,
        (_mask("orient", lambda mask: mask.transpose(-2, -1)),),
    ),
    Mistake(
        "mask-inverted",
        CAUSAL,
        "orient",
        "the mask is read the wrong way round: True keys are hidden and False keys are attended to",
        "Queries see exactly what they must not see.",
        _POLARITY,
        (
            _empty_as(0.0),
            _empty_as(math.nan),
            {"fill": _inverted_uniform},
            {"fill": _inverted_uniform, "correct": _cut_all_but},
        ),
    ),
)
