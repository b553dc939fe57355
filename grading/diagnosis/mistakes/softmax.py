"""Mistakes in the softmax and in its precision."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from grading.diagnosis.mistakes.record import ATTENTION, LAYERS, Mistake, Swap
from grading.diagnosis.mistakes.ways import cut_empty, leave
from grading.diagnosis.pipeline import State

_SOFTMAX = "sdpa.ipynb#Softmax"
_HALF = "sdpa.ipynb#Half-precision"


def _softmax(weights: Callable[[Tensor], Tensor]) -> Swap:
    return {"normalise": lambda state: state._replace(weights=weights(state.scores))}


def _softmax_over(dim: int) -> tuple[Swap, ...]:
    """Over an axis along which all may be masked: the NaN stays, or is set to zero; or empty rows were not masked."""

    def plain(state: State) -> State:
        return state._replace(weights=state.scores.softmax(dim=dim))

    def zeroed(state: State) -> State:
        return state._replace(weights=state.scores.softmax(dim=dim).nan_to_num(0.0))

    return (
        {"normalise": plain},
        {"normalise": zeroed},
        {"fill": _fill_others, "normalise": plain, "correct": cut_empty},
        {"fill": _fill_others, "normalise": zeroed, "correct": cut_empty},
    )


def _fill_others(state: State) -> State:
    if state.mask is None:
        return state
    hidden = ~state.mask & state.mask.any(dim=-1, keepdim=True)
    return state._replace(scores=state.scores.masked_fill(hidden, -math.inf))


def _without_dim(scores: Tensor) -> Tensor:
    """As functional.softmax(scores) chooses it."""
    return scores.softmax(dim=0 if scores.dim() in (0, 1, 3) else 1)


def _ratio(scores: Tensor) -> Tensor:
    return scores.exp() / scores.exp().sum(dim=-1, keepdim=True)


def _in_float32(scores: Tensor) -> Tensor:
    return scores.softmax(dim=-1, dtype=torch.float32).to(scores.dtype)


def _raw_masked(state: State) -> State:
    """What was filled with -inf is set to zero where the softmax would have done it."""
    return state._replace(weights=state.scores if state.mask is None else state.scores * state.mask)


def _half_to_float(state: State) -> State:
    half = state.output.dtype in (torch.float16, torch.bfloat16)
    return state._replace(output=state.output.float() if half else state.output)


def _all_to_float(state: State) -> State:
    return state._replace(query=state.query.float(), key=state.key.float(), value=state.value.float())


MISTAKES = (
    Mistake(
        "softmax-over-queries",
        ATTENTION,
        "normalise",
        "the softmax runs over the queries (dim=-2) instead of over the keys (dim=-1)",
        "Columns of the weights sum to 1 instead of rows.",
        _SOFTMAX,
        _softmax_over(-2),
    ),
    Mistake(
        "softmax-over-heads",
        LAYERS,
        "normalise",
        "the softmax runs over the heads (dim=1) instead of over the keys (dim=-1)",
        "The heads compete for a key instead of the keys for a query.",
        _SOFTMAX,
        _softmax_over(1),
    ),
    Mistake(
        "softmax-dim-1",
        ("sdpa",),
        "normalise",
        "the softmax runs over dim=1, which is the keys only for inputs of two dimensions",
        "Right without leading dimensions, wrong with them.",
        _SOFTMAX,
        _softmax_over(1),
    ),
    Mistake(
        "softmax-over-batch",
        ATTENTION,
        "normalise",
        "the softmax runs over the first dimension (dim=0) instead of over the keys (dim=-1)",
        "An example changes with the others in its batch.",
        _SOFTMAX,
        _softmax_over(0),
    ),
    Mistake(
        "softmax-without-dim",
        ("sdpa",),
        "normalise",
        "functional.softmax is called without dim and chooses one: 0 for three dimensions, 1 for two and for four",
        "Right without leading dimensions, wrong with them.",
        _SOFTMAX,
        (
            _softmax(_without_dim),
            {"normalise": lambda state: state._replace(weights=_without_dim(state.scores).nan_to_num(0.0))},
        ),
    ),
    Mistake(
        "softmax-missing",
        ATTENTION,
        "normalise",
        "the scores are used as weights, without a softmax",
        "The weights are negative or above 1, and do not sum to 1.",
        _SOFTMAX,
        (_softmax(lambda scores: scores), {"fill": leave, "normalise": _raw_masked}),
    ),
    Mistake(
        "softmax-undivided",
        ATTENTION,
        "normalise",
        "the exponentials of the scores are used as weights, not divided by their sum",
        "The weights of a query do not sum to 1.",
        _SOFTMAX,
        (_softmax(lambda scores: scores.exp()),),
    ),
    Mistake(
        "softmax-without-maximum",
        ("sdpa",),
        "normalise",
        "the softmax is exp(scores) / exp(scores).sum(), without subtracting the largest score first",
        "Right for small scores; above 709 (float64) or 88 (float32) exp is inf, and inf / inf is NaN.",
        _SOFTMAX,
        (_softmax(_ratio),),
    ),
    Mistake(
        "softmax-in-float32",
        ATTENTION,
        "normalise",
        "the softmax is taken in float32 although the inputs are float64",
        "Seven digits are right instead of fifteen.",
        _HALF,
        (_softmax(_in_float32),),
    ),
    Mistake(
        "result-in-float32",
        ("sdpa",),
        "deliver",
        "the result of the computation in float32 is not cast back to the dtype of query",
        "float16 goes in and float32 comes out.",
        _HALF,
        ({"deliver": _half_to_float}, {"feed": _all_to_float, "deliver": leave}),
    ),
)
