"""With a past the diagonal is one too far, so each query also sees the next token; without it all is well."""
# cause: triangle-one-ahead

import torch
from torch import Tensor


def causal_mask(query_len: int, key_len: "int | None" = None) -> Tensor:
    k = query_len if key_len is None else key_len
    diagonal = 1 if k == query_len else k - query_len + 2
    future = torch.triu(torch.ones((query_len, k)), diagonal=diagonal)
    return torch.logical_not(future)


def additive_mask(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.full(mask.size(), -torch.inf, dtype=dtype).masked_fill_(mask, 0)
