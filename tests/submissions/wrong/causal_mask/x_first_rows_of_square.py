"""The first L rows of the square are taken, not the last."""
# cause: triangle-top-left

from typing import Optional

import torch


def causal_mask(query_len: int, key_len: Optional[int] = None) -> torch.Tensor:
    total = key_len or query_len
    square = torch.ones(total, total, dtype=torch.bool).tril()
    return square[:query_len]


def additive_mask(mask: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    ones = mask.type(dtype)
    return 1 - ones.reciprocal()
