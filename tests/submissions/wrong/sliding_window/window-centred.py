"""Half of the window lies before the query and half of it after."""
# cause: window-centred

import torch


def window_mask(query_len, key_len, window, num_sinks=0):
    k = torch.arange(key_len)
    q = torch.arange(query_len) + (key_len - query_len)
    dist = q[:, None] - k[None, :]
    inside = torch.logical_or(dist.abs() <= window // 2, (k < num_sinks)[None, :])
    return torch.logical_and(inside, dist >= -(window // 2))


def rolling_update(cache, keys, values, window, num_sinks=0):
    old = 0 if cache is None else cache[3]
    new = old + keys.shape[2]
    all_positions = torch.arange(old, new)
    parts_k, parts_v = [keys], [values]
    if cache is not None:
        parts_k.insert(0, cache[0])
        parts_v.insert(0, cache[1])
        all_positions = torch.cat([cache[2], all_positions])
    wanted = [p for p in range(new) if p < num_sinks or new - p <= window]
    target = torch.tensor(wanted)
    pick = (target[:, None] == all_positions[None, :]).to(keys.dtype)
    k = torch.einsum("ts,bkse->bkte", pick, torch.cat(parts_k, dim=2))
    v = torch.einsum("ts,bkse->bkte", pick.to(values.dtype), torch.cat(parts_v, dim=2))
    return k, v, target, new
