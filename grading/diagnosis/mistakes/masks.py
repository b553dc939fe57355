"""Mistakes in reading a mask and in applying it."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from grading.diagnosis.mistakes.record import CAUSAL, CROSS, MASKED, Mistake, Swap
from grading.diagnosis.pipeline import State

_FORM, _POLARITY = "03_mha.ipynb#mask-shapes", "02_causal_mask.ipynb#polarity"
_FILL, _EMPTY = "02_causal_mask.ipynb#fill", "01_sdpa.ipynb#empty-rows"


def _mask(step: str, change: Callable[[Tensor], Tensor | None]) -> Swap:
    def swapped(state: State) -> State:
        return state if state.mask is None else state._replace(mask=change(state.mask))

    return {step: swapped}


def _fill(scores: Callable[[Tensor, Tensor], Tensor], empty: float = 0.0) -> Swap:
    """scores(scores, mask) are the masked scores."""

    def fill(state: State) -> State:
        return state if state.mask is None else state._replace(scores=scores(state.scores, state.mask), empty=empty)

    return {"fill": fill}


def _unmasked(state: State) -> State:
    return state


def _cut_weights(state: State) -> State:
    return state if state.mask is None else state._replace(weights=state.weights.masked_fill(~state.mask, 0.0))


def _cut_empty(state: State) -> State:
    if state.mask is None:
        return state
    return state._replace(weights=state.weights.masked_fill(~state.mask.any(dim=-1, keepdim=True), 0.0))


def _cut_all_but(state: State) -> State:
    return state if state.mask is None else state._replace(weights=state.weights.masked_fill(state.mask, 0.0))


def _filled(value: float) -> Swap:
    return _fill(lambda scores, mask: scores.masked_fill(~mask, value))


def _lowest(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min)


def _added(scores: Tensor, mask: Tensor) -> Tensor:
    return scores + (~mask).to(scores.dtype) * -1e9


def _merge_to_model(state: State) -> State:
    """As many rows as there are: with a mask of five dimensions there are B times too many."""
    output = state.output.transpose(1, 2)
    return state._replace(output=output.reshape(output.size(0), -1, state.layers["o_proj.weight"].size(1)))


def _nan_for_empty(state: State) -> State:
    return state


def _empty_as(value: float) -> Swap:
    """Only what an inverted mask allows; a row that then allows nothing has weights of `value`."""

    def orient(state: State) -> State:
        return state if state.mask is None else state._replace(mask=~state.mask, empty=value)

    return {"orient": orient}


def _inverted_uniform(state: State) -> State:
    return state if state.mask is None else state._replace(scores=state.scores.masked_fill(state.mask, -1e9))


_UNSQUEEZED = "every mask gets unsqueeze(1), also a mask (L, S), whose rows are then read as heads"

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
        "a mask (B, L, S) is used without unsqueeze(1), so that its batch entries are read as heads",
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
            {"fill": _inverted_uniform, "correct": _cut_weights},
            {"fill": _inverted_uniform, "correct": _cut_all_but},
        ),
    ),
    Mistake(
        "mask-added",
        CAUSAL,
        "fill",
        "the boolean mask is added to the scores as 1 and 0",
        "Allowed keys get a score higher by 1; nothing is hidden.",
        _FILL,
        (_fill(lambda scores, mask: scores + mask),),
    ),
    Mistake(
        "fill-zero",
        CAUSAL,
        "fill",
        "masked scores are set to 0 before the softmax instead of to -inf",
        "exp(0) is 1: masked keys keep a weight, often most of it.",
        _FILL,
        (_filled(0.0), _filled(1e-9)),
    ),
    Mistake(
        "fill-positive",
        CAUSAL,
        "fill",
        "masked scores are set to a large positive number instead of a negative one",
        "All the weight goes to what is masked.",
        _FILL,
        (_filled(1e9), _filled(math.inf)),
    ),
    Mistake(
        "mask-after-softmax",
        CAUSAL,
        "correct",
        "the weights are set to 0 after the softmax instead of the scores to -inf before it",
        "The weights of a query do not sum to 1: the masked keys took their share first.",
        _FILL,
        ({"fill": _unmasked, "correct": _cut_weights},),
    ),
    Mistake(
        "zero-times-infinity",
        MASKED,
        "fill",
        "the mask is added as (1 - mask) * -inf, where 0 * -inf is NaN",
        "Every score that is allowed becomes NaN.",
        _FILL,
        (_fill(lambda scores, mask: scores + (~mask).to(scores.dtype) * -math.inf, math.nan),),
    ),
    Mistake(
        "empty-row-nan",
        MASKED,
        "clear",
        "a query that may attend to nothing has a softmax of -inf alone, which is NaN, and is not set to zero",
        "Its row of the output is NaN; all others are right.",
        _EMPTY,
        ({"clear": _nan_for_empty},),
    ),
    Mistake(
        "empty-row-uniform",
        MASKED,
        "fill",
        "a large negative fill, such as -1e9, lets a query that may attend to nothing attend to all keys alike",
        "Its row of the output is the mean of the values instead of zero; all others are right.",
        _EMPTY,
        (_filled(-1e9), _fill(_lowest)),
    ),
    Mistake(
        "empty-row-unmasked",
        MASKED,
        "fill",
        "a large negative number is added to masked scores, which moves all the scores of an empty row alike",
        "A query that may attend to nothing attends as if there were no mask; all others are right.",
        _EMPTY,
        (_fill(_added),),
    ),
    Mistake(
        "fill-not-low-enough",
        ("sdpa",),
        "fill",
        "masked scores are set to -10,000 or higher, and scores that are allowed can be lower than that",
        "Right for small scores; with large ones the weight goes to masked keys.",
        _FILL,
        tuple(
            swap
            for value in (-1e4, -1e3, -1e2)
            for swap in (_filled(value), *({**_filled(value), "correct": cut} for cut in (_cut_weights, _cut_empty)))
        ),
    ),
    Mistake(
        "fill-overflows-half",
        ("sdpa",),
        "fill",
        "masked scores are set to -1e9, which float16 cannot hold",
        "float16 inputs with a mask raise an error; other dtypes are right.",
        "01_sdpa.ipynb#half-precision",
        ({**_filled(-1e9), "correct": _cut_weights}, {**_filled(-1e20), "correct": _cut_weights}),
        error=True,
    ),
)


def _four(mask: Tensor) -> Tensor:
    return mask.unsqueeze(1) if mask.dim() == 3 else mask
