"""The loops assume a two-dimensional mask; of more dimensions the rest is left uninitialised or raises."""
# cause: none

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
    for i in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            out[i, j] = 0.0 if mask[i, j] else float("-inf")
    return out
