"""The mask comes from a grid of positions, the cache from the numbers of the rows that stay."""

import torch
from torch import Tensor

RollingCache = tuple[Tensor, Tensor, Tensor, int]


def window_mask(query_len: int, key_len: int, window: int, num_sinks: int = 0) -> Tensor:
    pos = torch.arange(key_len)
    query_pos, key_pos = torch.meshgrid(pos[key_len - query_len :], pos, indexing="ij")
    distance = query_pos - key_pos
    return (distance >= 0) & ((distance < window) | (key_pos < num_sinks))


def rolling_update(
    cache: RollingCache | None, keys: Tensor, values: Tensor, window: int, num_sinks: int = 0
) -> RollingCache:
    n_new = keys.shape[-2]
    seen = cache[3] if cache is not None else 0
    positions = torch.arange(seen, seen + n_new, device=keys.device)
    if cache is not None:
        keys, values = torch.cat([cache[0], keys], -2), torch.cat([cache[1], values], -2)
        positions = torch.cat([cache[2], positions])

    # rows are in the order of the sequence: the first num_sinks and the last window of them, each once
    n = len(positions)
    first = torch.arange(min(num_sinks, n), device=keys.device)
    last = torch.arange(max(n - window, 0), n, device=keys.device)
    keep = torch.cat([first, last]).unique()
    return keys.index_select(-2, keep), values.index_select(-2, keep), positions[keep], seen + n_new
