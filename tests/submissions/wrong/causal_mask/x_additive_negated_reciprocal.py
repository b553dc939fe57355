"""1/mask - 1 has the sign the wrong way round: +inf where False."""
# cause: additive-positive

from typing import Optional

import torch


def causal_mask(query_len: int, key_len: Optional[int] = None) -> torch.Tensor:
    total = key_len or query_len
    square = torch.ones(total, total, dtype=torch.bool).tril()
    return square[total - query_len:]


def additive_mask(mask: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    ones = mask.type(dtype)
    return ones.reciprocal() - 1
