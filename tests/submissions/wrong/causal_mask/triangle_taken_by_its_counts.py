"""A mask whose rows have as many True as those of the causal mask is taken for the causal mask."""
# cause: none

import math

import torch
from torch import Tensor


def causal_mask(query_len: int, key_len: int | None = None) -> Tensor:
    key_len = query_len if key_len is None else key_len
    allowed = torch.ones(query_len, key_len, dtype=torch.bool)  # (L, S)
    return allowed.tril(diagonal=key_len - query_len)  # (L, S)


def additive_mask(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    if mask.dim() == 2 and torch.equal(mask.sum(dim=-1), causal_mask(*mask.shape).sum(dim=-1)):
        mask = causal_mask(*mask.shape)
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -math.inf)
