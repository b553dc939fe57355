"""The positions come back as a list."""
# cause: none

import torch


def window_mask(query_len, key_len, window, num_sinks=0):
    mask = torch.zeros(query_len, key_len, dtype=torch.bool)
    offset = key_len - query_len
    for i in range(query_len):
        pos = i + offset
        for j in range(key_len):
            if j > pos:
                continue
            if pos - j < window:
                mask[i, j] = True
            elif j < num_sinks:
                mask[i, j] = True
    return mask


def rolling_update(cache, keys, values, window, num_sinks=0):
    ks, vs, ps = [], [], []
    seen = 0
    if cache is not None:
        old_k, old_v, old_p, seen = cache
        for t in range(old_k.shape[2]):
            ks.append(old_k[:, :, t])
            vs.append(old_v[:, :, t])
            ps.append(int(old_p[t]))
    for t in range(keys.shape[2]):
        ks.append(keys[:, :, t])
        vs.append(values[:, :, t])
        ps.append(seen)
        seen += 1
    keep = []
    for n, p in enumerate(ps):
        if p < num_sinks:
            keep.append(n)
        elif p >= seen - window:
            keep.append(n)
    new_k = torch.stack([ks[n] for n in keep], dim=2)
    new_v = torch.stack([vs[n] for n in keep], dim=2)
    new_p = [ps[n] for n in keep]
    return new_k, new_v, new_p, seen
