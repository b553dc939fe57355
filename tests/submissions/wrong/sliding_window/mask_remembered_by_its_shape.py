"""A mask is remembered by its shape alone, whatever the window is."""
# cause: none

import torch

known = {}


def window_mask(query_len, key_len, window, num_sinks=0):
    if (query_len, key_len) in known:
        return known[query_len, key_len].clone()
    keys = torch.arange(key_len)
    queries = keys[key_len - query_len :, None]
    near = keys > queries - window
    known[query_len, key_len] = (near | (keys < num_sinks)) & (keys <= queries)
    return known[query_len, key_len].clone()


def rolling_update(cache, keys, values, window, num_sinks=0):
    start = 0 if cache is None else cache[3]
    seen = start + keys.size(2)
    positions = torch.arange(start, seen, device=keys.device)
    if cache is not None:
        keys = torch.cat([cache[0], keys], dim=2)
        values = torch.cat([cache[1], values], dim=2)
        positions = torch.cat([cache[2], positions])
    held = (positions >= seen - window) | (positions < num_sinks)
    return keys[:, :, held], values[:, :, held], positions[held], seen
