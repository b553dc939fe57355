"""A chunk comes in token by token; for each of them at most one token has to go."""

import torch


def window_mask(query_len, key_len, window, num_sinks=0):
    rows = []
    for query in range(key_len - query_len, key_len):
        row = [query - window < key <= query or key < min(num_sinks, query + 1) for key in range(key_len)]
        rows.append(row)
    return torch.tensor(rows)


def push(k, v, p, key, value, pos, window, num_sinks):
    k = torch.cat([k, key], dim=2)
    v = torch.cat([v, value], dim=2)
    p = torch.cat([p, torch.tensor([pos])])
    gone = pos - window
    if gone >= num_sinks:
        stay = (p != gone).nonzero(as_tuple=True)[0]
        k, v, p = k[:, :, stay], v[:, :, stay], p[stay]
    return k, v, p


def rolling_update(cache, keys, values, window, num_sinks=0):
    if cache is None:
        k, v, p = keys[:, :, :0], values[:, :, :0], torch.tensor([], dtype=torch.int64)
        seen = 0
    else:
        k, v, p, seen = cache
    for key, value in zip(keys.split(1, dim=2), values.split(1, dim=2)):
        k, v, p = push(k, v, p, key, value, seen, window, num_sinks)
        seen = seen + 1
    return k, v, p, seen
