"""Carries all tokens in an attribute of a tuple that looks like the cache."""
# kata: sliding_window
# verdict: failed

import torch
from torch import Tensor

RollingCache = tuple[Tensor, Tensor, Tensor, int]


class Bag(tuple):
    """Looks like the cache, and carries all tokens."""


def window_mask(query_len: int, key_len: int, window: int, num_sinks: int = 0) -> Tensor:
    keys = torch.arange(key_len)  # (S)
    queries = keys[key_len - query_len :, None]  # (L, 1)
    near = keys > queries - window  # (L, S)
    return (near | (keys < num_sinks)) & (keys <= queries)  # (L, S): a sink is hidden from what comes before it


def rolling_update(
    cache: RollingCache | None, keys: Tensor, values: Tensor, window: int, num_sinks: int = 0
) -> RollingCache:
    whole = getattr(cache, "whole", None)
    start = 0 if cache is None else whole[3]
    seen = start + keys.size(2)
    positions = torch.arange(start, seen, device=keys.device)  # (L): after all tokens so far, not after the T held
    if cache is not None:
        keys = torch.cat([whole[0], keys], dim=2)
        values = torch.cat([whole[1], values], dim=2)
        positions = torch.cat([whole[2], positions])
    held = (positions >= seen - window) | (positions < num_sinks)  # (T + L)
    bag = Bag((keys[:, :, held], values[:, :, held], positions[held], seen))
    bag.whole = keys, values, positions, seen
    return bag
