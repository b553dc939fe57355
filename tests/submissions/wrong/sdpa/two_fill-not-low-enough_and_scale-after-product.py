"""Hidden scores become -1e4, which is not low enough; the product of float16 inputs is taken before it is scaled."""
# cause: fill-not-low-enough, scale-after-product

import math

import torch
from torch import Tensor


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    # scaled before the product: query @ key of large float16 inputs overflows
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))  # (..., L, S)
    if mask is None:
        return scores.softmax(dim=-1) @ value  # (..., L, Ev)
    # the lowest finite number, for a row of -inf has no softmax; a row without keys is zeroed after it
    scores = scores.masked_fill(~mask, -1e4)  # (..., L, S)
    weights = scores.softmax(dim=-1).masked_fill(~mask.any(dim=-1, keepdim=True), 0.0)  # (..., L, S)
    return weights @ value  # (..., L, Ev)
