"""Mistakes in what the cache holds, and in the mask of new tokens over it."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from grading.diagnosis.mistakes.record import CACHED, Mistake, Swap
from grading.diagnosis.pipeline import Cache, State, Step, append, linear, split_one

_CACHE, _CHUNKS, _COST = "05_gqa_kv_cache.ipynb#cache", "05_gqa_kv_cache.ipynb#chunks", "05_gqa_kv_cache.ipynb#bytes"


def _cat(
    key: Callable[[Cache, State], list[Tensor]], value: Callable[[Cache, State], list[Tensor]], dim: int = 2
) -> Swap:
    """What is put together as keys and as values, of the cache handed in and of the new ones."""

    def step(state: State) -> State:
        if state.past is None:
            return state
        joined = torch.cat(key(state.past, state), dim=dim), torch.cat(value(state.past, state), dim=dim)
        return state._replace(key=joined[0], value=joined[1])

    return {"append": step}


def _along(dim: int) -> Swap:
    return _cat(lambda past, state: [past[0], state.key], lambda past, state: [past[1], state.value], dim)


def _out(cache: Callable[[State], Cache]) -> Swap:
    return {"hand_out": lambda state: state._replace(cache=cache(state))}


def _leave(state: State) -> State:
    return state


def _attend_new(state: State) -> State:
    joined = append(state)
    return state._replace(cache=(joined.key, joined.value))


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


def _unscaled(state: State) -> State:
    return state


def _append_to_self(state: State) -> State:
    return append(state._replace(past=state.memory))


def _append_to_self_or_start(state: State) -> State:
    return append(state._replace(past=state.past and state.memory))


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
    section = _CHUNKS if step == "align_causal" else _CACHE
    return Mistake(name, CACHED, step, sentence, symptom, section, swaps, error=error)


_ONE: Step = lambda state: state._replace(scale=1.0)  # noqa: E731

MISTAKES = (
    _cached(
        "new-before-old",
        "append",
        "the new keys and values are put before those of the cache instead of behind them",
        "The cache is in the wrong order, and new tokens see the wrong keys.",
        _cat(lambda past, state: [state.key, past[0]], lambda past, state: [state.value, past[1]]),
    ),
    _cached(
        "cache-joined-along-heads",
        "append",
        "old and new keys are joined along dimension 1, the heads, instead of dimension 2, the tokens",
        "The second chunk fails, or has too many heads.",
        _along(1),
        error=True,
    ),
    _cached(
        "cache-joined-along-batch",
        "append",
        "old and new keys are joined along dimension 0, the batch, instead of dimension 2, the tokens",
        "The second chunk fails, or has too large a batch.",
        _along(0),
        error=True,
    ),
    _cached(
        "cache-joined-along-features",
        "append",
        "old and new keys are joined along dimension 3, the features, instead of dimension 2, the tokens",
        "The second chunk fails.",
        _along(3),
        error=True,
    ),
    _cached(
        "old-keys-as-values",
        "append",
        "the new values are joined to the cached keys instead of to the cached values",
        "From the second chunk on the old values are the old keys.",
        _cat(lambda past, state: [past[0], state.key], lambda past, state: [past[0], state.value]),
    ),
    _cached(
        "cache-unpacked-in-wrong-order",
        "append",
        "the cache is unpacked as (values, keys) although it is handed out as (keys, values)",
        "From the second chunk on old keys serve as values and old values as keys.",
        _cat(lambda past, state: [past[1], state.key], lambda past, state: [past[0], state.value]),
    ),
    _cached(
        "cache-handed-out-in-wrong-order",
        "hand_out",
        "the cache is handed out as (values, keys) instead of (keys, values)",
        "From the second chunk on old keys serve as values and old values as keys.",
        _out(lambda state: (state.value, state.key)),
        {
            "hand_out": lambda state: state._replace(cache=(state.value, state.key)),
            "append": lambda state: append(state._replace(past=state.past and (state.past[1], state.past[0]))),
        },
    ),
    _cached(
        "cache-ignored",
        "append",
        "the cache that is handed in is ignored: only the new tokens are attended to and handed out",
        "Each chunk is a sequence of its own.",
        {"append": _leave},
    ),
    _cached(
        "cache-not-attended",
        "append",
        "the cache is extended, but the new tokens attend to themselves alone and not to the cache",
        "The cache is right and each chunk is a sequence of its own.",
        {"append": _leave, "hand_out": _attend_new},
    ),
    _cached(
        "only-new-handed-out",
        "hand_out",
        "the cache that is handed out holds the new keys and values alone",
        "The second chunk is right, and the third has forgotten the first.",
        _out(lambda state: (state.key[:, :, -state.query.size(2) :], state.value[:, :, -state.query.size(2) :])),
    ),
    _cached(
        "cache-not-extended",
        "hand_out",
        "the cache that was handed in is handed out again, without the new keys and values",
        "The second chunk is right, and the third has forgotten it.",
        _out(lambda state: state.past or (state.key, state.value)),
    ),
    _cached(
        "cache-expanded",
        "append",
        "the cache holds keys and values repeated for all num_heads query heads instead of num_kv_heads",
        "The output is right, and the cache is H / K times too large.",
        {"append": _expand_then_append, "share": _leave},
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
            "append": _leave,
            "hand_out": lambda state: state._replace(cache=(state.output, state.output)),
        },
    ),
    _cached(
        "cache-keys-scaled",
        "append",
        "the keys are scaled by 1/sqrt(head_dim) before they go into the cache",
        "The output is right, and the cache holds scaled keys.",
        {"append": _append_scaled, "scale": _ONE},
    ),
    _cached(
        "cache-keys-scaled-again",
        "append",
        "the keys of the cache are scaled by 1/sqrt(head_dim) again at each call",
        "The older a token is, the smaller are its scores.",
        {"append": _append_then_scale, "scale": _ONE},
    ),
    _cached(
        "cache-on-self",
        "append",
        "the module goes on from the keys and values that it kept on self instead of from the cache handed in",
        "One sequence is right; a second one, or a prefix continued twice, is not.",
        {"append": _append_to_self_or_start},
        {"append": _append_to_self},
    ),
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
