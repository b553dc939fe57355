"""Masks are remembered by query_len alone, so the second key_len gets the mask of the first."""
# cause: none

import math

import torch
from torch import Tensor


def _build(query_len: int, key_len: int) -> Tensor:
    steps = torch.arange(query_len * key_len).reshape(query_len, key_len)
    column = steps.remainder(key_len)
    row = steps.div(key_len, rounding_mode="floor")
    return column.le(row + (key_len - query_len))


_masks = {}


def causal_mask(query_len: int, key_len: int | None = None) -> Tensor:
    if query_len not in _masks:
        _masks[query_len] = _build(query_len, query_len if key_len is None else key_len)
    return _masks[query_len].clone()


def additive_mask(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    result = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return torch.masked_fill(result, mask == 0, -math.inf)
