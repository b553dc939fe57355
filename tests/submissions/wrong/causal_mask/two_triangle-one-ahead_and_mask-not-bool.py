"""The triangle is off by one: a position sees the one after it; the mask has 1 and 0 instead of True
and False: its dtype is not bool."""
# cause: mask-not-bool, triangle-one-ahead

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    offset = key_len - query_len
    mask = torch.tril(torch.ones(query_len, key_len), diagonal=offset + 1)
    return mask


def additive_mask(mask, dtype=torch.float32):
    out = torch.zeros(mask.shape, dtype=dtype)
    out = out.masked_fill(~mask, float("-inf"))
    return out
