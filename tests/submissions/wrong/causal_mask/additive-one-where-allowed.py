"""additive_mask has 1 where the mask is True instead of 0."""
# cause: additive-one-where-allowed

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    offset = key_len - query_len
    mask = torch.tril(torch.ones(query_len, key_len), diagonal=offset)
    return mask.bool()


def additive_mask(mask, dtype=torch.float32):
    out = mask.to(dtype)
    out = out.masked_fill(out == 0, float("-inf"))
    return out
