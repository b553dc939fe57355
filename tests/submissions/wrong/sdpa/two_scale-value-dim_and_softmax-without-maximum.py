"""The scale is the root of the width of the values; the softmax is exp(scores) / exp(scores).sum(), where a sum of 0 becomes 1."""
# cause: scale-value-dim, softmax-without-maximum

import math

import torch
from torch import Tensor


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    # scaled before the product: query @ key of large float16 inputs overflows
    scores = (query / math.sqrt(value.size(-1))) @ key.transpose(-2, -1)  # (..., L, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)  # (..., L, S)
    powers = scores.exp()  # (..., L, S)
    total = powers.sum(dim=-1, keepdim=True)  # (..., L, 1)
    return powers / torch.where(total == 0, 1.0, total) @ value  # (..., L, Ev)
