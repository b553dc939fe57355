"""One token is taken of a chunk: its last."""
# cause: only-the-last-token-taken

import torch


def window_mask(query_len, key_len, window, num_sinks=0):
    keys = torch.arange(key_len)
    queries = keys[key_len - query_len :, None]
    near = keys > queries - window
    return (near | (keys < num_sinks)) & (keys <= queries)


def rolling_update(cache, keys, values, window, num_sinks=0):
    start = 0 if cache is None else cache[3]
    seen = start + keys.size(2)
    positions = torch.arange(start, seen, device=keys.device)[-1:]
    keys, values = keys[:, :, -1:], values[:, :, -1:]
    if cache is not None:
        keys = torch.cat([cache[0], keys], dim=2)
        values = torch.cat([cache[1], values], dim=2)
        positions = torch.cat([cache[2], positions])
    held = (positions >= seen - window) | (positions < num_sinks)
    return keys[:, :, held], values[:, :, held], positions[held], seen
