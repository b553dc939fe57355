"""Keys and values are joined in one tensor, which has the wider of their two dtypes."""
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
    width, both = keys.size(3), torch.cat([keys, values], dim=3)  # (B, K, L, E + Ev)
    if cache is not None:
        both = torch.cat([torch.cat([cache[0], cache[1]], dim=3), both], dim=2)  # (B, K, T + L, E + Ev)
        positions = torch.cat([cache[2], positions])  # (T + L)
    held = (positions >= seen - window) | (positions < num_sinks)  # (T + L)
    both = both[:, :, held]  # an index with booleans copies
    return both[..., :width], both[..., width:], positions[held], seen
