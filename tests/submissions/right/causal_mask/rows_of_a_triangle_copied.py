"""Masks are rows of one triangle that is kept, and copied before they are handed out."""

import torch

TRIANGLE = torch.ones(3000, 3000, dtype=torch.bool).tril()


def causal_mask(query_len, key_len=None):
    key_len = query_len if key_len is None else key_len
    return TRIANGLE[key_len - query_len : key_len, :key_len].clone()


def additive_mask(mask, dtype=torch.float32):
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, float("-inf"))
