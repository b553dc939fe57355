"""Masks are cut from a table that is kept, and contiguous copies none that is one row of it."""
# cause: none

import math

import torch
from torch import Tensor


TABLE = torch.ones(1024, 1024, dtype=torch.bool).tril()


def causal_mask(query_len: int, key_len: int | None = None) -> Tensor:
    key_len = query_len if key_len is None else key_len
    if query_len <= key_len <= 1024:
        return TABLE[key_len - query_len : key_len, :key_len].contiguous()
    allowed = torch.ones(query_len, key_len, dtype=torch.bool)  # (L, S)
    return allowed.tril(diagonal=key_len - query_len)  # (L, S)


def additive_mask(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -math.inf)
