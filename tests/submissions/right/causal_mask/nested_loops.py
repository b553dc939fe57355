"""Plain Python loops that set one element at a time."""

import itertools

import torch


def causal_mask(query_len: int, key_len: int | None = None) -> torch.Tensor:
    if key_len is None:
        key_len = query_len
    past = key_len - query_len
    mask = torch.zeros((query_len, key_len), dtype=torch.bool)
    for i in range(query_len):
        for j in range(key_len):
            if j <= past + i:
                mask[i][j] = True
    return mask


def additive_mask(mask: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    out = torch.empty(mask.shape, dtype=dtype)
    for index in itertools.product(*(range(n) for n in mask.shape)):
        out[index] = 0.0 if mask[index] else float("-inf")
    return out
