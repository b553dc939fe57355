"""Positions travel as one more feature of the keys, and are rounded to the dtype of the keys."""
# cause: none

import torch
from torch import Tensor

RollingCache = tuple[Tensor, Tensor, Tensor, int]


def window_mask(query_len: int, key_len: int, window: int, num_sinks: int = 0) -> Tensor:
    keys = torch.arange(key_len)  # (S)
    queries = keys[key_len - query_len :, None]  # (L, 1)
    near = keys > queries - window  # (L, S)
    return (near | (keys < num_sinks)) & (keys <= queries)  # (L, S): a sink is hidden from what comes before it


def rolling_update(
    cache: RollingCache | None, keys: Tensor, values: Tensor, window: int, num_sinks: int = 0
) -> RollingCache:
    start = 0 if cache is None else cache[3]
    seen = start + keys.size(2)
    positions = torch.arange(start, seen, device=keys.device)  # (L): after all tokens so far, not after the T held
    keys = numbered(keys, positions)  # (B, K, L, E + 1)
    if cache is not None:
        keys = torch.cat([numbered(cache[0], cache[2]), keys], dim=2)  # (B, K, T + L, E + 1)
        values = torch.cat([cache[1], values], dim=2)  # (B, K, T + L, Ev)
        positions = torch.cat([cache[2], positions])  # (T + L)
    held = (positions >= seen - window) | (positions < num_sinks)  # (T + L)
    keys = keys[:, :, held]  # an index with booleans copies
    return keys[..., :-1], values[:, :, held], keys[0, 0, :, -1].long(), seen


def numbered(keys: Tensor, positions: Tensor) -> Tensor:
    column = positions.to(keys.dtype)[:, None].expand(*keys.shape[:3], 1)  # (B, K, T, 1)
    return torch.cat([keys, column], dim=3)
