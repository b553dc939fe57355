"""Prints a gigabyte at the first call."""
# kata: sdpa
# verdict: failed

import torch

printed = [0]


def scaled_dot_product_attention(query, key, value, mask=None):
    line = "x" * (1 << 20)
    while printed[0] < 1024:
        printed[0] += 1
        print(line)
    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype)
