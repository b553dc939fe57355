"""Nested list comprehensions handed to torch.tensor."""

import math

import torch


def causal_mask(query_len, key_len=None):
    key_len = query_len if key_len is None else key_len
    return torch.tensor([[True] * (key_len - query_len + i + 1) + [False] * (query_len - i - 1) for i in range(query_len)])


def additive_mask(mask, dtype=torch.float32):
    flat = [0.0 if allowed else -math.inf for allowed in mask.flatten().tolist()]
    return torch.tensor(flat, dtype=dtype).reshape(mask.shape)
