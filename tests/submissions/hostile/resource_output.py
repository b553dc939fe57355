"""Prints a gigabyte."""
# kata: sdpa
# verdict: failed

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    line = "x" * (1 << 20)
    for _ in range(1024):
        print(line)
    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype)
