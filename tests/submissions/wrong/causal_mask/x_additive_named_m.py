"""The argument is named m."""
# cause: none

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

def causal_mask(query_len: int, key_len: int | None = None) -> Tensor:
    key_len = query_len if key_len is None else key_len
    allowed = torch.ones(query_len, key_len, dtype=torch.bool)
    return allowed.tril(diagonal=key_len - query_len)


def additive_mask(m: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(m.shape, dtype=dtype).masked_fill(~m, -math.inf)
