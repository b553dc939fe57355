"""A masked score is put 40 below the smallest of its row: what is hidden keeps a weight, if a very small one."""
# cause: none

import math

import torch
from torch import Tensor


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    # scaled before the product: query @ key of large float16 inputs overflows
    scores = (query / math.sqrt(query.size(-1))) @ key.transpose(-2, -1)  # (..., L, S)
    if mask is None:
        return scores.softmax(dim=-1) @ value  # (..., L, Ev)
    # the lowest finite number, for a row of -inf has no softmax; a row without keys is zeroed after it
    scores = torch.where(mask, scores, scores.amin(dim=-1, keepdim=True) - 40)  # (..., L, S)
    weights = scores.softmax(dim=-1).masked_fill(~mask.any(dim=-1, keepdim=True), 0.0)  # (..., L, S)
    return weights @ value  # (..., L, Ev)
