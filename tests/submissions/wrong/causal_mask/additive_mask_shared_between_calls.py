"""Additive masks are kept by what the mask holds and handed out again, with what a caller wrote into them."""
# cause: none

import torch

KEPT = {}


def causal_mask(query_len, key_len=None):
    key_len = query_len if key_len is None else key_len
    return torch.ones(query_len, key_len, dtype=torch.bool).tril(key_len - query_len)


def additive_mask(mask, dtype=torch.float32):
    name = (str(mask.tolist()), dtype)
    if name not in KEPT:
        KEPT[name] = torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, float("-inf"))
    return KEPT[name]
