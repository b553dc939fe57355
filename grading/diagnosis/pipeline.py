"""Attention as named steps, so that one of them can be swapped for a mistake.

The steps as they stand here give the right answer of every kata. They are written to be taken apart and not to be
fast, and only their values matter: gradients, dtypes in between and memory are the business of the graders.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from grading.diagnosis.probes import Probe

Cache = tuple[Tensor, Tensor]


class State(NamedTuple):
    """What is known before a step. A step answers with the next one and changes nothing in place."""

    query: Tensor  # (..., L, E) of sdpa; a layer's is (B, L, D), then (B, H, L, E)
    key: Tensor
    value: Tensor
    mask: Tensor | None
    layers: Mapping[str, Tensor]  # the state_dict
    heads: int
    kv_heads: int
    dropout: float
    training: bool
    past: Cache | None  # the cache handed in
    memory: Cache | None  # what a layer that keeps a cache to itself would have kept
    lengths: tuple[int, int | None]  # of causal_mask
    dtype: torch.dtype  # of the result
    head_dim: int
    scale: float = 1.0
    empty: float = 0.0  # the weights of a query that may attend to nothing
    scores: Tensor = torch.empty(0)
    weights: Tensor = torch.empty(0)
    output: Tensor = torch.empty(0)
    cache: Cache | None = None  # the cache handed out


Step = Callable[[State], State]


def feed(state: State) -> State:
    """Which tensor is the query, which the key, which the value."""
    return state


def linear(state: State, layer: str, x: Tensor) -> Tensor:
    return functional.linear(x, state.layers[f"{layer}.weight"], state.layers.get(f"{layer}.bias"))


def project(state: State) -> State:
    query, key = linear(state, "q_proj", state.query), linear(state, "k_proj", state.key)
    return state._replace(query=query, key=key, value=linear(state, "v_proj", state.value))


def split_one(x: Tensor, heads: int) -> Tensor:
    """(B, L, heads * E) -> (B, heads, L, E)"""
    return x.reshape(*x.shape[:-1], heads, -1).transpose(1, 2)


def split(state: State) -> State:
    query, key = split_one(state.query, state.heads), split_one(state.key, state.kv_heads)
    return state._replace(query=query, key=key, value=split_one(state.value, state.kv_heads))


def append(state: State) -> State:
    """New keys and values go behind those of the cache."""
    if state.past is None:
        return state
    key = torch.cat([state.past[0], state.key], dim=2)
    return state._replace(key=key, value=torch.cat([state.past[1], state.value], dim=2))


def hand_out(state: State) -> State:
    """What the caller gets as the cache."""
    return state._replace(cache=(state.key, state.value))


def share(state: State) -> State:
    """Every query head gets the key/value head of its group."""
    group = state.heads // state.kv_heads
    if group == 1:
        return state
    key = state.key.repeat_interleave(group, dim=1)
    return state._replace(key=key, value=state.value.repeat_interleave(group, dim=1))


def scale(state: State) -> State:
    return state._replace(scale=1.0 / math.sqrt(state.head_dim))


def score(state: State) -> State:
    return state._replace(scores=(state.query * state.scale) @ state.key.transpose(-2, -1))


def align(state: State) -> State:
    """The mask gets a dimension for the heads."""
    if state.mask is None or state.mask.dim() != 3:
        return state
    return state._replace(mask=state.mask.unsqueeze(1))


def align_causal(state: State) -> State:
    """The new tokens are the last L of the S positions."""
    L, S = state.scores.shape[-2:]
    return state._replace(mask=torch.ones(L, S, dtype=torch.bool).tril(S - L))


def orient(state: State) -> State:
    """True means may attend, a row of the mask is a query."""
    return state


def fill(state: State) -> State:
    if state.mask is None:
        return state
    return state._replace(scores=state.scores.masked_fill(~state.mask, -math.inf))


def normalise(state: State) -> State:
    return state._replace(weights=state.scores.softmax(dim=-1))


def clear(state: State) -> State:
    """A query that may attend to nothing, NaN so far, gets weights of zero."""
    if state.mask is None:
        return state
    empty = ~state.mask.any(dim=-1, keepdim=True)
    return state._replace(weights=state.weights.masked_fill(empty & state.weights.isnan(), state.empty))


def correct(state: State) -> State:
    """Nothing is left to do to the weights: here stands what a mistake left for after the softmax."""
    return state


def drop(state: State) -> State:
    """Of the probabilities only 0 and 1 are used here, where dropout is not random."""
    if not (state.training and state.dropout):
        return state
    return state._replace(weights=state.weights * (1.0 - state.dropout))


def weigh(state: State) -> State:
    return state._replace(output=state.weights @ state.value)


def merge(state: State) -> State:
    """(B, H, L, E) -> (B, L, H * E)"""
    output = state.output.transpose(1, 2)
    return state._replace(output=output.reshape(output.size(0), output.size(1), -1))


def project_out(state: State) -> State:
    return state._replace(output=linear(state, "o_proj", state.output))


def deliver(state: State) -> State:
    """The dtype of the query."""
    return state._replace(output=state.output.to(state.dtype))


def lengths(state: State) -> State:
    """Without a key length it is the query length."""
    L, S = state.lengths
    return state._replace(lengths=(L, L if S is None else S))


def triangle(state: State) -> State:
    """The queries are the last of the positions."""
    L, S = state.lengths
    assert S is not None
    return state._replace(output=torch.ones(L, S, dtype=torch.bool).tril(S - L))


def polarity(state: State) -> State:
    """True means may attend."""
    return state


def add_fill(state: State) -> State:
    assert state.mask is not None
    zeros = torch.zeros(state.mask.shape, dtype=torch.float64)
    return state._replace(output=zeros.masked_fill(~state.mask, -math.inf))


_ALL: tuple[Step, ...] = (
    *(feed, project, split, append, hand_out, share, scale, score, align, align_causal, orient, fill, normalise),
    *(clear, correct, drop, weigh, merge, project_out, deliver, lengths, triangle, polarity, add_fill),
)
STEPS: dict[str, Step] = {step.__name__: step for step in _ALL}

_PREPARE = ("feed", "project", "split")
_ATTEND = ("orient", "fill", "normalise", "clear", "correct")
_FINISH = ("weigh", "merge", "project_out")
_LAYER = (*_PREPARE, "share", "scale", "score", "align", *_ATTEND, "drop", *_FINISH)
PROGRAMS: dict[str, tuple[str, ...]] = {
    "scaled_dot_product_attention": ("feed", "scale", "score", *_ATTEND, "weigh", "deliver"),
    "causal_mask": ("lengths", "triangle", "polarity"),
    "additive_mask": ("add_fill", "deliver"),
    "MultiHeadAttention": _LAYER,
    "GroupedQueryAttention": _LAYER,
    "MultiQueryAttention": _LAYER,
    # up to hand_out a call of the cached layer builds its cache; what follows changes its output only
    "CachedGroupedQueryAttention": (
        *(*_PREPARE, "append", "hand_out"),
        *("share", "scale", "score", "align_causal", *_ATTEND, *_FINISH),
    ),
}


def _tensor(probe: Probe, name: str) -> Tensor | None:
    found = probe.inputs.get(name)
    return found if isinstance(found, Tensor) else None


def start(probe: Probe) -> State:
    """The state before the first step. A call of the cached layer starts from it with its own chunk and cache."""
    x = _tensor(probe, "x")
    query, key, value = (_tensor(probe, name) if x is None else x for name in ("query", "key", "value"))
    nothing, arguments = torch.empty(0), probe.arguments
    query = nothing if query is None else query
    heads = int(arguments.get("num_heads", 1))
    kv_heads = heads if probe.kata == "mha" else int(arguments.get("num_kv_heads", 1))
    first, second, dtype = (probe.inputs.get(name) for name in ("query_len", "key_len", "dtype"))
    return State(
        query, nothing if key is None else key, nothing if value is None else value, _tensor(probe, "mask"),
        probe.weights, heads, kv_heads, float(arguments.get("dropout", 0.0)), probe.training, None, None,
        (first if isinstance(first, int) else 0, second if isinstance(second, int) else None),
        dtype if isinstance(dtype, torch.dtype) else query.dtype, query.size(-1) // heads,
    )  # fmt: skip


def go(state: State, names: tuple[str, ...], swaps: Mapping[str, Step]) -> State:
    """The steps of these names, one after the other, the swapped ones in place of the right ones."""
    for name in names:
        state = (swaps.get(name) or STEPS[name])(state)
    return state


def calls(probe: Probe, swaps: Mapping[str, Step]) -> list[State]:
    """The calls of a probe of the cached layer, each as far as the cache that it hands out."""
    names, base = PROGRAMS[probe.symbol], start(probe)
    head = names[: names.index("hand_out") + 1]
    done: list[State] = []
    for x, given in zip(torch.split(base.query, list(probe.chunks), dim=1), probe.given, strict=True):
        past = done[given].cache if given >= 0 else None
        memory = done[-1].cache if done else None
        done.append(go(base._replace(query=x, key=x, value=x, past=past, memory=memory), head, swaps))
    return done


def run(probe: Probe, swaps: Mapping[str, Step] | None = None) -> dict[str, Tensor]:
    """The outputs of a probe: the right ones, or those of the mistakes swapped in.

    Raises:
        Exception: whatever PyTorch raises where a mistake does not fit the shapes.
    """
    swaps, names = swaps or {}, PROGRAMS[probe.symbol]
    if not probe.chunks:
        return {"output": go(start(probe), names, swaps).output}
    tail = names[names.index("hand_out") + 1 :]
    done = calls(probe, swaps)
    outputs = {f"output.{i}": go(state, tail, swaps).output for i, state in enumerate(done)}
    assert done[-1].cache is not None
    return outputs | {"keys": done[-1].cache[0], "values": done[-1].cache[1]}
