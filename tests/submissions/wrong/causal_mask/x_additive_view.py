"""view(-1) raises on a mask that is not contiguous."""
# cause: none

import math

import torch


def causal_mask(query_len, key_len=None):
    key_len = query_len if key_len is None else key_len
    return torch.tensor([[True] * (key_len - query_len + i + 1) + [False] * (query_len - i - 1) for i in range(query_len)])


def additive_mask(mask, dtype=torch.float32):
    flat = [0.0 if allowed else -math.inf for allowed in mask.view(-1).tolist()]
    return torch.tensor(flat, dtype=dtype).reshape(mask.shape)
