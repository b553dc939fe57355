"""What is held is a dictionary from positions to columns; the cache comes back as a named tuple."""

from typing import NamedTuple

import torch
from torch import Tensor


class Cache(NamedTuple):
    keys: Tensor
    values: Tensor
    positions: Tensor
    seen: int


def sees(q, k, window, num_sinks):
    if k > q:
        return False
    return q - k <= window - 1 or k <= num_sinks - 1


def window_mask(query_len, key_len, window, num_sinks=0):
    positions = list(range(key_len))
    queries = positions[-query_len:]
    return torch.tensor([[sees(q, k, window, num_sinks) for k in positions] for q in queries], dtype=torch.bool)


def rolling_update(cache, keys, values, window, num_sinks=0):
    store = {}
    seen = 0
    if cache is not None:
        held = Cache(*cache)
        seen = held.seen
        for i, p in enumerate(held.positions.tolist()):
            store[p] = (held.keys.select(2, i), held.values.select(2, i))
    for i in range(keys.size(2)):
        store[seen + i] = (keys.select(2, i), values.select(2, i))
    seen += keys.size(2)
    for p in list(store):
        if p < seen - window and p >= num_sinks:
            del store[p]
    k = torch.stack([store[p][0] for p in store], dim=-2)
    v = torch.stack([store[p][1] for p in store], dim=-2)
    return Cache(k, v, torch.tensor(list(store)), seen)
