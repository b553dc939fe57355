"""Asks for more and more memory, in small pieces that it writes to."""
# kata: sdpa
# verdict: failed

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    kept = []
    while len(kept) < 4096:
        kept.append(torch.ones(1 << 20, dtype=torch.uint8))
    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype)
