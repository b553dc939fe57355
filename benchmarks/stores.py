"""Ways to keep keys and values between steps. A step stores the last L tokens behind those before them, and attends.

Query (B, H, L, E); keys and values (B, K, S, E) of all tokens, of which the last L are the step's. A step that is
repeated stores the same tokens in the same places, so that it can be measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from solutions.flash import blockwise_attention
from solutions.paged_kv_cache import paged_attention, write
from solutions.sliding_window import RollingCache, rolling_update


@dataclass(frozen=True)
class Store:
    """A step, and the tensors that stay from one step to the next."""

    step: Callable[[], Tensor]
    held: list[Tensor]


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """The lines of solutions/static_kv_cache.py: causal where no mask is given, the queries being the last."""
    (B, H, L, E), (K, S) = query.shape, key.shape[1:3]
    rows = (query / math.sqrt(E)).reshape(B, K, H // K * L, E)
    scores = (rows @ key.transpose(-2, -1)).view(B, H, L, S)
    if mask is None:
        mask = torch.ones(L, S, dtype=torch.bool, device=query.device).tril(diagonal=S - L)
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
    return (weights.view(B, K, H // K * L, S) @ value).view(B, H, L, E)


def growing(query: Tensor, keys: Tensor, values: Tensor) -> Store:
    """torch.cat makes a cache that is longer by the new tokens, as in solutions/gqa_kv_cache.py."""
    past = keys.size(2) - query.size(2)
    held = [keys[:, :, :past].clone(), values[:, :, :past].clone()]
    new = keys[:, :, past:], values[:, :, past:]
    return Store(lambda: attend(query, *(torch.cat(pair, dim=2) for pair in zip(held, new, strict=True))), held)


Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def static(
    query: Tensor, keys: Tensor, values: Tensor, attention: Attention = attend, chunk: int | None = None
) -> Store:
    """Slots that are allocated once; with a chunk, so many tokens at a time are stored and attend."""
    held = [keys.clone(), values.clone()]
    past, end = keys.size(2) - query.size(2), keys.size(2)

    def step() -> Tensor:
        outputs = []
        for start in range(past, end, chunk or end - past):
            stop = min(start + (chunk or end), end)
            for slots, tokens in zip(held, (keys, values), strict=True):
                slots[:, :, start:stop] = tokens[:, :, start:stop]
            outputs.append(attention(query[:, :, start - past : stop - past], *(slots[:, :, :stop] for slots in held)))
        return torch.cat(outputs, dim=2)

    return Store(step, held)


def blockwise(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """solutions/flash.py for one query a head: the heads of a group are rows, which see every key."""
    B, H, _, E = query.shape
    rows = query.reshape(B, key.size(1), -1, E)
    return blockwise_attention(rows, key, value, block_size=256)[0].view(B, H, 1, E)


def paged(query: Tensor, keys: Tensor, values: Tensor, page: int) -> Store:
    """Pages that lie anywhere in a pool, by solutions/paged_kv_cache.py."""
    B, K, S, E = keys.shape
    pages = math.ceil(S / page)
    table = torch.randperm(B * pages, device=keys.device).view(B, pages)
    pools = [tokens.new_zeros(B * pages, page, K, E) for tokens in (keys, values)]
    lengths = torch.full((B,), S, device=keys.device)
    before = lengths - query.size(2)
    write(*pools, table, torch.zeros_like(lengths), keys, values)
    new = [tokens[:, :, S - query.size(2) :] for tokens in (keys, values)]

    def step() -> Tensor:
        write(*pools, table, before, *new)
        return paged_attention(query, *pools, table, lengths)

    return Store(step, [*pools, table, lengths, before])


def rolling(query: Tensor, keys: Tensor, values: Tensor, window: int, sinks: int) -> Store:
    """No more than the sinks and a window, by solutions/sliding_window.py, the new tokens in chunks of a window."""
    past = keys.size(2) - query.size(2)
    cache = rolling_update(None, keys[:, :, :past], values[:, :, :past], window, sinks) if past else None
    chunks = list(zip(*(x.split(window, dim=2) for x in (query, keys[:, :, past:], values[:, :, past:])), strict=True))

    def step() -> Tensor:
        outputs, held = [], cache
        for chunk, key, value in chunks:
            outputs.append(_within(chunk, key, value, held, window, sinks))
            held = rolling_update(held, key, value, window, sinks)
        return torch.cat(outputs, dim=2)

    return Store(step, [] if cache is None else list(cache[:3]))


def _within(query: Tensor, key: Tensor, value: Tensor, held: RollingCache | None, window: int, sinks: int) -> Tensor:
    """A chunk attends to what was held before it and to itself: nothing is evicted before that."""
    start = 0 if held is None else held[3]
    positions = queries = torch.arange(start, start + query.size(2), device=query.device)
    if held is not None:
        key, value = torch.cat([held[0], key], dim=2), torch.cat([held[1], value], dim=2)
        positions = torch.cat([held[2], positions])
    near = (positions > queries[:, None] - window) | (positions < sinks)
    return attend(query, key, value, near & (positions <= queries[:, None]))


def ring(query: Tensor, keys: Tensor, values: Tensor, window: int, sinks: int) -> Store:
    """The same for one new token, in slots that are allocated once: it takes the slot of the oldest in the window.

    What is then held is what the token sees, in an order that softmax does not ask for.
    """
    last = keys.size(2) - 1
    where = torch.arange(last + 1, device=keys.device)
    where = where[(where > last - window) | (where < sinks)]
    held = [tokens[:, :, where] for tokens in (keys, values)]

    def step() -> Tensor:
        for slots, tokens in zip(held, (keys, values), strict=True):
            slots[:, :, -1] = tokens[:, :, last]
        return attend(query, *held)

    return Store(step, held)
