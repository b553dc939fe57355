"""Additive_mask ignores dtype and is always float64."""
# cause: additive-always-float64

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    offset = key_len - query_len
    mask = torch.tril(torch.ones(query_len, key_len), diagonal=offset)
    return mask.bool()


def additive_mask(mask, dtype=torch.float32):
    out = torch.zeros(mask.shape, dtype=torch.float64)
    out = out.masked_fill(~mask, float("-inf"))
    return out
