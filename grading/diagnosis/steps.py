"""The steps that attention is made of, each from one state to the next.

As they stand here they give the right answer of every kata. They are written to be taken apart and not to be fast, and
only their values matter: gradients, dtypes in between and memory are the business of the graders.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

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
