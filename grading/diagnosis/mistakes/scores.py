"""Mistakes in what is multiplied with what."""

from grading.diagnosis.mistakes.record import ATTENTION, Mistake
from grading.diagnosis.pipeline import State

_SUM = "sdpa.ipynb#Weighted-sum"


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


MISTAKES = (
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
)
