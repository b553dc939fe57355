"""key_len is ignored and the mask is (query_len, query_len)."""
# cause: key-length-ignored

import torch


def causal_mask(query_len, key_len=None):
    mask = torch.tril(torch.ones(query_len, query_len))
    return mask.bool()


def additive_mask(mask, dtype=torch.float32):
    out = torch.zeros(mask.shape, dtype=dtype)
    out = out.masked_fill(~mask, float("-inf"))
    return out
