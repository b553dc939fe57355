"""The mask is (key_len, key_len): the rows of the positions that are not queries are not cut away."""
# cause: mask-for-all-positions

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    mask = torch.tril(torch.ones(key_len, key_len))
    return mask.bool()


def additive_mask(mask, dtype=torch.float32):
    out = torch.zeros(mask.shape, dtype=dtype)
    out = out.masked_fill(~mask, float("-inf"))
    return out
