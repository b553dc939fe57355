"""Positions are int32, and the first one that a query sees wraps around where the window is beyond 2**31."""
# cause: none

import torch
from torch import Tensor

RollingCache = tuple[Tensor, Tensor, Tensor, int]


def window_mask(query_len: int, key_len: int, window: int, num_sinks: int = 0) -> Tensor:
    keys = torch.arange(key_len, dtype=torch.int32)  # (S)
    queries = keys[key_len - query_len :, None]  # (L, 1)
    near = keys > queries - window  # (L, S)
    return (near | (keys < num_sinks)) & (keys <= queries)  # (L, S): a sink is hidden from what comes before it


def rolling_update(
    cache: RollingCache | None, keys: Tensor, values: Tensor, window: int, num_sinks: int = 0
) -> RollingCache:
    start = 0 if cache is None else cache[3]
    seen = start + keys.size(2)
    positions = torch.arange(start, seen, device=keys.device)  # (L): after all tokens so far, not after the T held
    if cache is not None:
        keys = torch.cat([cache[0], keys], dim=2)  # (B, K, T + L, E)
        values = torch.cat([cache[1], values], dim=2)  # (B, K, T + L, Ev)
        positions = torch.cat([cache[2], positions])  # (T + L)
    held = (positions >= seen - window) | (positions < num_sinks)  # (T + L)
    return keys[:, :, held], values[:, :, held], positions[held], seen  # an index with booleans copies
