"""The chunk is put in front, and the end of the row is held."""
# cause: new-tokens-first

import torch


def window_mask(query_len, key_len, window, num_sinks=0):
    keys = torch.arange(key_len)
    queries = keys[key_len - query_len :, None]
    near = keys > queries - window
    return (near | (keys < num_sinks)) & (keys <= queries)


def rolling_update(cache, keys, values, window, num_sinks=0):
    start = 0 if cache is None else cache[3]
    seen = start + keys.size(2)
    positions = torch.arange(start, seen, device=keys.device)
    if cache is not None:
        keys = torch.cat([keys, cache[0]], dim=2)
        values = torch.cat([values, cache[1]], dim=2)
        positions = torch.cat([positions, cache[2]])
    held = (torch.arange(len(positions)) >= len(positions) - window) | (positions < num_sinks)
    return keys[:, :, held], values[:, :, held], positions[held], seen
