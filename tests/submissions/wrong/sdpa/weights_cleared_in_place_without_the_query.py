"""Where the query wants no gradient the weights are changed in place behind the softmax, which the key needs as they were."""
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
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)  # (..., L, S)
    weights = scores.softmax(dim=-1)  # (..., L, S)
    weights = weights.masked_fill(~mask, 0.0) if query.requires_grad else weights.masked_fill_(~mask, 0.0)
    return weights @ value  # (..., L, Ev)
