"""The offset counts the chunk already."""
# cause: chunk-positions-after-the-chunk

import torch


def window_mask(query_len, key_len, window, num_sinks=0):
    ones = torch.ones(query_len, key_len, dtype=torch.bool)
    past = key_len - query_len
    causal = torch.tril(ones, diagonal=past)
    band = torch.triu(ones, diagonal=past - window + 1)
    sinks = torch.zeros_like(ones)
    sinks[:, :num_sinks] = True
    return causal & (band | sinks)


def rolling_update(cache, keys, values, window, num_sinks=0):
    length = keys.shape[-2]
    offset = (cache[3] if cache is not None else 0) + length
    positions = torch.arange(length) + offset
    if cache is not None:
        keys = torch.cat((cache[0], keys), dim=-2)
        values = torch.cat((cache[1], values), dim=-2)
        positions = torch.cat((cache[2], positions))
    cut = max(keys.shape[-2] - window, 0)
    head = min(num_sinks, cut)
    keys = torch.cat((keys[..., :head, :], keys[..., cut:, :]), dim=-2)
    values = torch.cat((values[..., :head, :], values[..., cut:, :]), dim=-2)
    positions = torch.cat((positions[:head], positions[cut:]))
    return keys, values, positions, offset
