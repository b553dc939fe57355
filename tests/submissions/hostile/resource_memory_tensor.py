"""Asks for a terabyte at once."""
# kata: sdpa
# verdict: failed
# harm: memory

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    torch.ones(1 << 40, dtype=torch.uint8)
    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype)
