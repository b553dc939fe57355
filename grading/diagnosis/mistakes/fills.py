"""Mistakes in applying a mask."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from grading.diagnosis.mistakes.record import CAUSAL, MASKED, Mistake, Swap
from grading.diagnosis.mistakes.ways import cut_empty, cut_masked, leave
from grading.diagnosis.pipeline import State

_FILL = "causal_mask.ipynb#Fill"
_EMPTY = "sdpa.ipynb#Empty-rows"


def _fill(scores: Callable[[Tensor, Tensor], Tensor], empty: float = 0.0) -> Swap:
    """scores(scores, mask) are the masked scores."""

    def fill(state: State) -> State:
        return state if state.mask is None else state._replace(scores=scores(state.scores, state.mask), empty=empty)

    return {"fill": fill}


def _filled(value: float) -> Swap:
    return _fill(lambda scores, mask: scores.masked_fill(~mask, value))


def _lowest(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min)


def _added(scores: Tensor, mask: Tensor) -> Tensor:
    return scores + (~mask).to(scores.dtype) * -1e9


MISTAKES = (
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
        # not together with an inverted mask: two signs lost are none, but for what was masked
        tuple({"orient": leave, **_filled(value)} for value in (1e9, math.inf)),
    ),
    Mistake(
        "mask-after-softmax",
        CAUSAL,
        "correct",
        "the weights are set to 0 after the softmax instead of the scores to -inf before it",
        "The weights of a query do not sum to 1: the masked keys took their share first.",
        _FILL,
        ({"fill": leave, "correct": cut_masked},),
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
        ({"clear": leave},),
    ),
    Mistake(
        "empty-row-uniform",
        MASKED,
        "fill",
        "a query that may attend to nothing attends to all keys alike, as after a large negative fill such as -1e9",
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
        "masked scores are set to a number like -10,000, and scores that are allowed can be lower than that",
        "Right for small scores; with large ones the weight goes to masked keys.",
        _FILL,
        tuple(
            swap
            for value in (-1e4, -1e3, -1e2)
            for swap in (_filled(value), *({**_filled(value), "correct": cut} for cut in (cut_masked, cut_empty)))
        ),
    ),
    Mistake(
        "fill-overflows-half",
        ("sdpa",),
        "fill",
        "masked scores are set to -1e9, which float16 cannot hold",
        "float16 inputs with a mask raise an error; other dtypes are right.",
        "sdpa.ipynb#Half-precision",
        ({**_filled(-1e9), "correct": cut_masked}, {**_filled(-1e20), "correct": cut_masked}),
        error=True,
    ),
)
