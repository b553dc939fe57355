"""The additive form of a mask of one element is made by hand, without dimensions."""
# cause: none

import math

import torch
from torch import Tensor


def causal_mask(query_len: int, key_len: int | None = None) -> Tensor:
    key_len = query_len if key_len is None else key_len
    allowed = torch.ones(query_len, key_len, dtype=torch.bool)  # (L, S)
    return allowed.tril(diagonal=key_len - query_len)  # (L, S)


def additive_mask(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    if mask.numel() == 1:
        return torch.tensor(0.0 if mask.item() else -math.inf, dtype=dtype)
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -math.inf)
