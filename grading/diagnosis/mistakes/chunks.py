"""Mistakes in the mask of new tokens over a cache."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from grading.diagnosis.mistakes.record import CACHED, Mistake, Swap
from grading.diagnosis.pipeline import State


def _causal(allowed: Callable[[State], Tensor | None], empty: float = 0.0) -> Swap:
    return {"align_causal": lambda state: state._replace(mask=allowed(state), empty=empty)}


def _band(shift: Callable[[int, int], int]) -> Callable[[State], Tensor]:
    def allowed(state: State) -> Tensor:
        L, S = state.scores.shape[-2:]
        return torch.ones(L, S, dtype=torch.bool).tril(shift(L, S))

    return allowed


def _square(state: State) -> Tensor:
    L = state.scores.size(-2)
    return torch.ones(L, L, dtype=torch.bool).tril()


def _strict_uniform(state: State) -> State:
    mask = _band(lambda L, S: S - L - 1)(state)
    return state._replace(scores=state.scores.masked_fill(~mask, -1e9))


def _cached(name: str, step: str, sentence: str, symptom: str, *swaps: Swap, error: bool = False) -> Mistake:
    return Mistake(name, CACHED, step, sentence, symptom, "gqa_kv_cache.ipynb#Causal-mask-top-left", swaps, error=error)


MISTAKES = (
    _cached(
        "causal-mask-missing",
        "align_causal",
        "there is no causal mask: every new token attends to all the new tokens",
        "Right for one token at a time, wrong for longer chunks.",
        _causal(lambda state: None),
    ),
    _cached(
        "causal-mask-only-without-cache",
        "align_causal",
        "the causal mask is used only when there is no cache: later chunks are unmasked",
        "Right for one token at a time after the prompt, wrong for longer chunks.",
        _causal(lambda state: None if state.past is not None else _band(lambda L, S: S - L)(state)),
    ),
    _cached(
        "causal-mask-top-left",
        "align_causal",
        "new token i sees keys 0..i (top-left) instead of all the past and the new ones up to itself (bottom-right)",
        "The first chunk is right; later ones see only the oldest keys.",
        _causal(_band(lambda L, S: 0)),
    ),
    _cached(
        "causal-mask-strict",
        "align_causal",
        "the causal mask is off by one: a token does not attend to itself",
        "The first token may attend to nothing.",
        *(_causal(_band(lambda L, S: S - L - 1), empty) for empty in (0.0, math.nan)),
        {"fill": _strict_uniform},
    ),
    _cached(
        "causal-mask-one-ahead",
        "align_causal",
        "the causal mask is off by one: a token attends to the token after it",
        "What comes next leaks into each token but the last.",
        _causal(_band(lambda L, S: S - L + 1)),
    ),
    _cached(
        "causal-mask-without-past",
        "align_causal",
        "the causal mask is (L, L) and does not cover the keys of the cache",
        "The second chunk fails.",
        _causal(_square),
        error=True,
    ),
)
