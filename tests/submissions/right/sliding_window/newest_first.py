"""The cache holds the newest token first; the mask adds up diagonals."""

import torch


def window_mask(query_len, key_len, window, num_sinks=0):
    square = torch.zeros(key_len, key_len)
    for back in range(min(window, key_len)):
        square += torch.diag(torch.ones(key_len - back), -back)
    columns = torch.ones(key_len, key_len).tril()[:, :num_sinks]
    square[:, :num_sinks] += columns
    return square[key_len - query_len :] > 0


def rolling_update(cache, keys, values, window, num_sinks=0):
    n = keys.size(2)
    seen = n if cache is None else cache[3] + n
    new_k, new_v = keys.flip(2), values.flip(2)
    new_p = torch.arange(seen - n, seen).flip(0)
    if cache is not None:
        new_k = torch.cat([new_k, cache[0]], 2)
        new_v = torch.cat([new_v, cache[1]], 2)
        new_p = torch.cat([new_p, cache[2]])
    recent = torch.arange(new_p.numel()) < window
    first = new_p < num_sinks
    index = torch.nonzero(recent | first).squeeze(1)
    return new_k.index_select(2, index), new_v.index_select(2, index), new_p.index_select(0, index), seen
