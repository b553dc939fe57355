"""Masks are kept by query_len, and handed out for another key_len too."""
# cause: none

import torch

_masks = {}


def causal_mask(query_len: int, key_len: int | None = None) -> torch.Tensor:
    if query_len not in _masks:
        key_len = query_len if key_len is None else key_len
        past = key_len - query_len
        _masks[query_len] = torch.arange(key_len) <= torch.arange(query_len)[:, None] + past
    return _masks[query_len]


def additive_mask(mask: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, float("-inf"))
