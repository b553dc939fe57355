"""Rows of the mask that allow nothing are opened before the softmax, in the mask of the caller where it has the shape of the scores."""
# cause: mask-changed-in-place

import math

import torch
from torch import Tensor


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    # scaled before the product: query @ key of large float16 inputs overflows
    scores = (query / math.sqrt(query.size(-1))) @ key.transpose(-2, -1)  # (..., L, S)
    if mask is None:
        return scores.softmax(dim=-1) @ value  # (..., L, Ev)
    empty = ~mask.any(dim=-1, keepdim=True)  # (..., L, 1)
    mask = mask.expand(scores.shape) if mask.shape == scores.shape else mask.expand(scores.shape).clone()
    mask |= empty
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1).masked_fill(empty, 0.0)  # (..., L, S)
    return weights @ value  # (..., L, Ev)
