"""The ring is allocated in PyTorch's default dtype."""
# cause: cache-in-float32

import torch


def window_mask(query_len, key_len, window, num_sinks=0):
    q_pos = torch.arange(key_len - query_len, key_len).unsqueeze(1)
    k_pos = torch.arange(key_len).unsqueeze(0)
    causal = k_pos <= q_pos
    local = (q_pos - k_pos) < window
    sink = k_pos < num_sinks
    return causal & (local | sink)


def slot_of(pos, window, num_sinks):
    if pos < num_sinks:
        return pos
    return num_sinks + (pos - num_sinks) % window


def rolling_update(cache, keys, values, window, num_sinks=0):
    B, K, L, E = keys.shape
    size = window + num_sinks
    ring_k = torch.zeros(B, K, size, E)
    ring_v = torch.zeros(B, K, size, values.size(-1))
    ring_p = torch.full((size,), -1, dtype=torch.long)
    seen = 0
    if cache is not None:
        old_k, old_v, old_p, seen = cache
        n = old_p.numel()
        ring_k[:, :, :n] = old_k
        ring_v[:, :, :n] = old_v
        ring_p[:n] = old_p
    for t in range(L):
        slot = slot_of(seen, window, num_sinks)
        ring_k[:, :, slot] = keys[:, :, t]
        ring_v[:, :, slot] = values[:, :, t]
        ring_p[slot] = seen
        seen += 1
    used = min(seen, size)
    return ring_k[:, :, :used], ring_v[:, :, :used], ring_p[:used], seen
