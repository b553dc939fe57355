"""The chunk is counted twice."""
# cause: seen-counted-twice

import torch


def slice2d(x, start, end):
    return x[:, :, start:end, ...]


def window_mask(query_len, key_len, window, num_sinks=0):
    start_size, recent_size = num_sinks, window
    past_len = key_len - query_len
    rows = []
    for i in range(query_len):
        cur = past_len + i
        row = torch.zeros(key_len, dtype=torch.bool)
        row[:start_size] = True
        row[max(0, cur - recent_size + 1) : cur + 1] = True
        row[cur + 1 :] = False
        rows.append(row)
    return torch.stack(rows)


def rolling_update(cache, keys, values, window, num_sinks=0):
    start_size, recent_size = num_sinks, window
    if cache is None:
        k, v = keys, values
        pos = torch.arange(keys.size(2))
        num_seen = 2 * keys.size(2)
    else:
        past_k, past_v, past_pos, num_seen = cache
        k = torch.cat([past_k, keys], dim=2)
        v = torch.cat([past_v, values], dim=2)
        pos = torch.cat([past_pos, torch.arange(num_seen, num_seen + keys.size(2))])
        num_seen += 2 * keys.size(2)
    seq_len = k.size(2)
    cache_size = start_size + recent_size
    if seq_len <= cache_size:
        return k, v, pos, num_seen
    k = torch.cat([slice2d(k, 0, start_size), slice2d(k, seq_len - recent_size, seq_len)], dim=2)
    v = torch.cat([slice2d(v, 0, start_size), slice2d(v, seq_len - recent_size, seq_len)], dim=2)
    pos = torch.cat([pos[:start_size], pos[seq_len - recent_size :]])
    return k, v, pos, num_seen
