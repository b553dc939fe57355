"""Query i sees keys 0..i-1: the triangle is off by one, and it is top-left where it should be bottom-right."""
# cause: triangle-strict-top-left

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    mask = torch.tril(torch.ones(query_len, key_len), diagonal=-1)
    return mask.bool()


def additive_mask(mask, dtype=torch.float32):
    out = torch.zeros(mask.shape, dtype=dtype)
    out = out.masked_fill(~mask, float("-inf"))
    return out
