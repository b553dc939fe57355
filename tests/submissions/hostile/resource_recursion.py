"""Calls itself without end."""
# kata: sdpa
# verdict: failed

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    return scaled_dot_product_attention(query, key, value, mask)
    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype)
