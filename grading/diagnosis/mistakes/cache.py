"""Mistakes in what goes into the cache and what comes out of it."""

from collections.abc import Callable

import torch
from torch import Tensor

from grading.diagnosis.evidence import Facts
from grading.diagnosis.mistakes.record import CACHED, Mistake, Swap
from grading.diagnosis.mistakes.ways import leave
from grading.diagnosis.pipeline import Cache, State, append


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


def _attend_new(state: State) -> State:
    joined = append(state)
    return state._replace(cache=(joined.key, joined.value))


def _append_to_self(state: State) -> State:
    return append(state._replace(past=state.memory))


def _append_to_self_or_start(state: State) -> State:
    return append(state._replace(past=state.past and state.memory))


def _changed_in_place(kata: str, facts: Facts) -> bool:
    """Then what looks like a memory may be the cache handed in itself."""
    return not {"keys", "values"}.isdisjoint(facts.modified)


def _cached(
    name: str,
    step: str,
    sentence: str,
    symptom: str,
    *swaps: Swap,
    error: bool = False,
    denied: Callable[[str, Facts], bool] | None = None,
) -> Mistake:
    section = "gqa_kv_cache.ipynb#Break-it"
    return Mistake(name, CACHED, step, sentence, symptom, section, swaps, error=error, denied=denied)


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
        {"append": leave},
    ),
    _cached(
        "cache-not-attended",
        "append",
        "the cache is extended, but the new tokens attend to themselves alone and not to the cache",
        "The cache is right and each chunk is a sequence of its own.",
        {"append": leave, "hand_out": _attend_new},
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
        "cache-on-self",
        "append",
        "the module goes on from the keys and values that it kept on self instead of from the cache handed in",
        "One sequence is right; a second one, or a prefix continued twice, is not.",
        {"append": _append_to_self_or_start},
        {"append": _append_to_self},
        denied=_changed_in_place,
    ),
)
