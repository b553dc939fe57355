"""Query i sees keys 0..i (top-left) although the queries are the last of the positions (bottom-right);
additive_mask has a large negative number instead of -inf."""
# cause: triangle-top-left, additive-finite

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    mask = torch.tril(torch.ones(query_len, key_len))
    return mask.bool()


def additive_mask(mask, dtype=torch.float32):
    out = torch.zeros(mask.shape, dtype=dtype)
    out = out.masked_fill(~mask, torch.finfo(dtype).min)
    return out
