"""The mask has leading dimensions of 1, (1, L, S) or (1, 1, L, S), instead of being (L, S)."""
# cause: mask-with-leading-dimensions

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    offset = key_len - query_len
    mask = torch.tril(torch.ones(query_len, key_len), diagonal=offset)
    return mask.bool()[None, None]


def additive_mask(mask, dtype=torch.float32):
    out = torch.zeros(mask.shape, dtype=dtype)
    out = out.masked_fill(~mask, float("-inf"))
    return out
