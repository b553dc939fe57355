"""Mistakes in the form in which a cache is kept: the output is right for most of them."""

import math

import torch
from torch import Tensor

from grading.diagnosis.mistakes.record import CACHED, Mistake, Swap
from grading.diagnosis.mistakes.ways import leave
from grading.diagnosis.pipeline import State, append, linear, split_one


def _expand_then_append(state: State) -> State:
    group = state.heads // state.kv_heads
    key, value = (x.repeat_interleave(group, dim=1) for x in (state.key, state.value))
    return append(state._replace(key=key, value=value))


def _append_token_major(state: State) -> State:
    past = None if state.past is None else (state.past[0].transpose(1, 2), state.past[1].transpose(1, 2))
    return append(state._replace(past=past))


def _append_unsplit(state: State) -> State:
    past = state.past and (split_one(state.past[0], state.kv_heads), split_one(state.past[1], state.kv_heads))
    return append(state._replace(past=past))


def _unsplit(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def _project_all(state: State) -> State:
    x = state.key if state.past is None else torch.cat([state.past[0], state.key], dim=1)
    key, value = linear(state, "k_proj", x), linear(state, "v_proj", x)
    return state._replace(query=linear(state, "q_proj", state.query), key=key, value=value, output=x)


def _append_scaled(state: State) -> State:
    return append(state._replace(key=state.key / math.sqrt(state.head_dim)))


def _append_then_scale(state: State) -> State:
    state = append(state)
    return state._replace(key=state.key / math.sqrt(state.head_dim))


def _scale_of_one(state: State) -> State:
    return state._replace(scale=1.0)


def _cached(name: str, step: str, sentence: str, symptom: str, *swaps: Swap) -> Mistake:
    return Mistake(name, CACHED, step, sentence, symptom, "gqa_kv_cache.ipynb#Cost", swaps)


MISTAKES = (
    _cached(
        "cache-expanded",
        "append",
        "the cache holds keys and values repeated for all num_heads query heads instead of num_kv_heads",
        "The output is right, and the cache is H / K times too large.",
        {"append": _expand_then_append, "share": leave},
    ),
    _cached(
        "cache-token-major",
        "hand_out",
        "the cache is (B, S, K, E), tokens before heads, instead of (B, K, S, E)",
        "The output is right, and nobody else can use the cache.",
        {
            "append": _append_token_major,
            "hand_out": lambda state: state._replace(cache=(state.key.transpose(1, 2), state.value.transpose(1, 2))),
        },
    ),
    _cached(
        "cache-unsplit",
        "hand_out",
        "the cache is (B, S, K * E), as it was before the heads were split, instead of (B, K, S, E)",
        "The output is right, and nobody else can use the cache.",
        {
            "append": _append_unsplit,
            "hand_out": lambda state: state._replace(cache=(_unsplit(state.key), _unsplit(state.value))),
        },
    ),
    _cached(
        "cache-unprojected",
        "project",
        "the cache holds the inputs x instead of keys and values, which are projected again at each call",
        "The output is right, and each step costs as much as all before it.",
        {
            "project": _project_all,
            "append": leave,
            "hand_out": lambda state: state._replace(cache=(state.output, state.output)),
        },
    ),
    _cached(
        "cache-keys-scaled",
        "append",
        "the keys are scaled by 1/sqrt(head_dim) before they go into the cache",
        "The output is right, and the cache holds scaled keys.",
        {"append": _append_scaled, "scale": _scale_of_one},
    ),
    _cached(
        "cache-keys-scaled-again",
        "append",
        "the keys of the cache are scaled by 1/sqrt(head_dim) again at each call",
        "The older a token is, the smaller are its scores.",
        {"append": _append_then_scale, "scale": _scale_of_one},
    ),
)
