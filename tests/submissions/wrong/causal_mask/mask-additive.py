"""causal_mask returns the additive form, 0 and -inf, instead of True and False."""
# cause: mask-additive

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    offset = key_len - query_len
    mask = torch.tril(torch.ones(query_len, key_len), diagonal=offset)
    return torch.zeros(query_len, key_len).masked_fill(mask == 0, float("-inf"))


def additive_mask(mask, dtype=torch.float32):
    out = torch.zeros(mask.shape, dtype=dtype)
    out = out.masked_fill(~mask, float("-inf"))
    return out
