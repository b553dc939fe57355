"""The values are gathered in a float32 buffer."""
# cause: none

import torch
from torch import Tensor


def window_mask(query_len: int, key_len: int, window: int, num_sinks: int = 0) -> Tensor:
    seqpos = key_len - query_len
    tensor = torch.full((query_len, key_len), fill_value=1.0)
    mask = torch.tril(tensor, diagonal=seqpos)
    far = torch.tril(tensor, diagonal=seqpos - window)
    far[:, :num_sinks] = 0
    return (mask - mask * far) > 0.5


def rolling_update(cache, keys: Tensor, values: Tensor, window: int, num_sinks: int = 0):
    B, K, seqlen, _ = keys.shape
    seqpos = 0 if cache is None else cache[3]
    total = seqpos + seqlen
    size = min(total, window + num_sinks)
    cache_k = keys.new_empty(B, K, size, keys.shape[3])
    cache_v = torch.empty(B, K, size, values.shape[3])
    cache_pos = torch.empty(size, dtype=torch.long)
    if cache is not None:
        held = cache[2].shape[0]
        cache_k[:, :, :held] = cache[0]
        cache_v[:, :, :held] = cache[1]
        cache_pos[:held] = cache[2]
    positions = torch.arange(seqpos, total)
    to_cache = (positions >= total - window) | (positions < num_sinks)
    positions = positions[to_cache]
    ring = (positions - num_sinks) % window + num_sinks
    scatter_pos = torch.where(positions < num_sinks, positions, ring)
    cache_k.index_copy_(2, scatter_pos, keys[:, :, to_cache])
    cache_v.index_copy_(2, scatter_pos, values[:, :, to_cache])
    cache_pos[scatter_pos] = positions
    return cache_k, cache_v, cache_pos, total
