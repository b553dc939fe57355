"""Masks of more than four dimensions are not handled."""
# cause: none

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

def causal_mask(query_len: int, key_len: int | None = None) -> Tensor:
    key_len = query_len if key_len is None else key_len
    allowed = torch.ones(query_len, key_len, dtype=torch.bool)
    return allowed.tril(diagonal=key_len - query_len)


def additive_mask(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    assert mask.dim() <= 4
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -math.inf)
