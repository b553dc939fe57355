"""The triangle is moved to the left instead of to the right: by query_len - key_len."""
# cause: triangle-moved-wrong-way

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    offset = key_len - query_len
    mask = torch.tril(torch.ones(query_len, key_len), diagonal=-offset)
    return mask.bool()


def additive_mask(mask, dtype=torch.float32):
    out = torch.zeros(mask.shape, dtype=dtype)
    out = out.masked_fill(~mask, float("-inf"))
    return out
