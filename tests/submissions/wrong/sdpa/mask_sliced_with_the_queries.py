"""Queries are worked through 256 at a time, and a mask of one row for all of them is cut with them."""
# cause: none

import math

import torch
from torch import Tensor


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    query = query / math.sqrt(query.size(-1))
    return torch.cat([_rows(query[..., i : i + 256, :], key, value, _part(mask, i)) for i in range(0, query.size(-2), 256)], -2)


def _part(mask: Tensor | None, start: int) -> Tensor | None:
    if mask is None or mask.dim() < 2:
        return mask
    return mask[..., start : start + 256, :]


def _rows(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    scores = query @ key.transpose(-2, -1)  # (..., L, S)
    if mask is None:
        return scores.softmax(dim=-1) @ value  # (..., L, Ev)
    # the lowest finite number, for a row of -inf has no softmax; a row without keys is zeroed after it
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)  # (..., L, S)
    weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)  # (..., L, S)
    return weights @ value  # (..., L, Ev)
