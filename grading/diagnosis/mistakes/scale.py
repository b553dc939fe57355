"""Mistakes in the scale of the scores."""

import math
from collections.abc import Callable

from grading.diagnosis.mistakes.record import ATTENTION, LAYERS, Mistake, Swap
from grading.diagnosis.pipeline import State

_SCALE = "sdpa.ipynb#Scale"
_HALF = "sdpa.ipynb#Half-precision"


def _scale_weights(state: State) -> State:
    return state._replace(weights=state.weights / math.sqrt(state.head_dim))


def _scale_product(state: State) -> State:
    return state._replace(scores=(state.query @ state.key.transpose(-2, -1)) * state.scale)


def _scaled(name: str, sentence: str, symptom: str, factor: Callable[[State], float], *katas: str) -> Mistake:
    swap: Swap = {"scale": lambda state: state._replace(scale=factor(state))}
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
)
