"""additive_mask builds the causal triangle from the shape and never looks at the mask."""
# cause: none

import torch
from torch import Tensor


def causal_mask(query_len: int, key_len: "int | None" = None) -> Tensor:
    k = query_len if key_len is None else key_len
    future = torch.triu(torch.ones((query_len, k)), diagonal=1 + k - query_len)
    return torch.logical_not(future)


def additive_mask(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    rows, cols = mask.shape[-2:]
    return torch.full(mask.size(), -torch.inf, dtype=dtype).triu(1 + cols - rows)
