"""Makes a list of ten thousand million items."""
# kata: sdpa
# verdict: failed
# harm: memory

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    kept = [0] * 10**10
    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype)
