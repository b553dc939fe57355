"""Mistakes in the scale, the scores, the softmax and the weighted sum."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from grading.diagnosis.mistakes.record import ATTENTION, LAYERS, Mistake, Swap
from grading.diagnosis.pipeline import State, Step

_SCALE, _SOFTMAX = "01_sdpa.ipynb#scale", "01_sdpa.ipynb#softmax"
_SUM, _HALF = "01_sdpa.ipynb#weighted-sum", "01_sdpa.ipynb#half-precision"
_NOT_CACHED = ("sdpa", "mha", "gqa", "mqa")


def _scale(factor: Callable[[State], float]) -> Swap:
    return {"scale": lambda state: state._replace(scale=factor(state))}


def _scale_weights(state: State) -> State:
    return state._replace(weights=state.weights / math.sqrt(state.head_dim))


def _scale_product(state: State) -> State:
    return state._replace(scores=(state.query @ state.key.transpose(-2, -1)) * state.scale)


def _value_scores(state: State) -> State:
    return state._replace(scores=(state.query * state.scale) @ state.value.transpose(-2, -1))


def _query_scores(state: State) -> State:
    return state._replace(scores=(state.query * state.scale) @ state.query.transpose(-2, -1))


def _key_sum(state: State) -> State:
    return state._replace(output=state.weights @ state.key)


def _transposed_sum(state: State) -> State:
    return state._replace(output=state.weights.transpose(-2, -1) @ state.value)


def _no_sum(state: State) -> State:
    return state._replace(output=state.weights)


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
        {"fill": _fill_others, "normalise": plain, "correct": _cut_empty},
        {"fill": _fill_others, "normalise": zeroed, "correct": _cut_empty},
    )


def _fill_others(state: State) -> State:
    if state.mask is None:
        return state
    hidden = ~state.mask & state.mask.any(dim=-1, keepdim=True)
    return state._replace(scores=state.scores.masked_fill(hidden, -math.inf))


def _cut_empty(state: State) -> State:
    if state.mask is None:
        return state
    return state._replace(weights=state.weights.masked_fill(~state.mask.any(dim=-1, keepdim=True), 0.0))


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


def _as_it_is(state: State) -> State:
    return state


def _scaled(name: str, sentence: str, symptom: str, factor: Step | Callable[[State], float], *katas: str) -> Mistake:
    swap: Swap = {"scale": lambda state: state._replace(scale=float(factor(state)))}  # type: ignore[arg-type]
    return Mistake(name, katas or ATTENTION, "scale", sentence, symptom, _SCALE, (swap,))


MISTAKES = (
    _scaled(
        "scale-missing",
        "the scores are not scaled by 1/sqrt(head_dim)",
        "The softmax is too sharp, the more so the larger head_dim is.",
        lambda state: 1.0,
    ),
    _scaled(
        "scale-d-model",
        "the scores are scaled by 1/sqrt(d_model) instead of 1/sqrt(head_dim)",
        "The softmax is too flat; right with one head only.",
        lambda state: 1.0 / math.sqrt(state.head_dim * state.heads),
        *LAYERS,
    ),
    _scaled(
        "scale-head-dim",
        "the scores are divided by head_dim instead of by its square root (or twice by the root)",
        "The softmax is too flat.",
        lambda state: 1.0 / state.head_dim,
    ),
    _scaled(
        "scale-multiplied",
        "the scores are multiplied by sqrt(head_dim) instead of divided by it",
        "The softmax is far too sharp.",
        lambda state: math.sqrt(state.head_dim),
    ),
    _scaled(
        "scale-key-length",
        "the scores are scaled by 1/sqrt(S), S the number of keys, instead of 1/sqrt(head_dim)",
        "The same tokens attend differently in a longer sequence.",
        lambda state: 1.0 / math.sqrt(state.key.size(-2)),
    ),
    _scaled(
        "scale-query-length",
        "the scores are scaled by 1/sqrt(L), L the number of queries, instead of 1/sqrt(head_dim)",
        "The same query attends differently when it comes with others.",
        lambda state: 1.0 / math.sqrt(state.query.size(-2)),
    ),
    _scaled(
        "scale-num-heads",
        "the scores are scaled by 1/sqrt(num_heads) instead of 1/sqrt(head_dim)",
        "The softmax is too sharp or too flat, unless there are as many heads as features in a head.",
        lambda state: 1.0 / math.sqrt(state.heads),
        *LAYERS,
    ),
    _scaled(
        "scale-value-dim",
        "the scores are scaled by 1/sqrt(Ev), the width of value, instead of 1/sqrt(E)",
        "Right as long as value is as wide as query and key.",
        lambda state: 1.0 / math.sqrt(state.value.size(-1)),
        "sdpa",
    ),
    Mistake(
        "scale-after-softmax",
        ATTENTION,
        "correct",
        "the weights are scaled by 1/sqrt(head_dim) after the softmax instead of the scores before it",
        "The weights of a query sum to 1/sqrt(head_dim), and the softmax is too sharp.",
        _SCALE,
        ({"scale": lambda state: state._replace(scale=1.0), "correct": _scale_weights},),
    ),
    Mistake(
        "scale-after-product",
        ("sdpa",),
        "score",
        "the product of query and key is taken in float16 before it is scaled, and exceeds 65,504",
        "Large float16 inputs give inf, and then NaN.",
        _HALF,
        ({"score": _scale_product},),
    ),
    Mistake(
        "values-as-keys",
        ATTENTION,
        "score",
        "the scores are query times value instead of query times key",
        "The keys have no effect on who attends to whom.",
        _SUM,
        ({"score": _value_scores},),
    ),
    Mistake(
        "queries-as-keys",
        ATTENTION,
        "score",
        "the scores are query times query instead of query times key",
        "Works for L == S only, and the keys have no effect.",
        _SUM,
        ({"score": _query_scores},),
    ),
    Mistake(
        "keys-as-values",
        ATTENTION,
        "weigh",
        "the weights are applied to key instead of to value",
        "The values have no effect.",
        _SUM,
        ({"weigh": _key_sum},),
    ),
    Mistake(
        "weights-transposed",
        ATTENTION,
        "weigh",
        "the transpose of the weights is applied to value",
        "Works for L == S only, and each key is given what its query should get.",
        _SUM,
        ({"weigh": _transposed_sum},),
    ),
    Mistake(
        "weights-returned",
        ("sdpa",),
        "weigh",
        "the weights are returned instead of the weighted sum of the values",
        "The output is (..., L, S) and its rows sum to 1.",
        _SUM,
        ({"weigh": _no_sum},),
    ),
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
        (_softmax(lambda scores: scores), {"fill": _as_it_is, "normalise": _raw_masked}),
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
        ({"deliver": _half_to_float}, {"feed": _all_to_float, "deliver": _as_it_is}),
    ),
)
