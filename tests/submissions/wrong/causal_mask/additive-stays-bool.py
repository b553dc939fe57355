"""Additive_mask returns the boolean mask itself, or its complement."""
# cause: additive-stays-bool

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    offset = key_len - query_len
    mask = torch.tril(torch.ones(query_len, key_len), diagonal=offset)
    return mask.bool()


def additive_mask(mask, dtype=torch.float32):
    return ~mask
