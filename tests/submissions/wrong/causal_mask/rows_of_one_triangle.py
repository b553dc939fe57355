"""Masks are views of one triangle that is kept: what is written into one shows in the others."""
# cause: none

import torch

TRIANGLE = torch.ones(3000, 3000, dtype=torch.bool).tril()


def causal_mask(query_len, key_len=None):
    key_len = query_len if key_len is None else key_len
    return TRIANGLE[key_len - query_len : key_len, :key_len]


def additive_mask(mask, dtype=torch.float32):
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, float("-inf"))
