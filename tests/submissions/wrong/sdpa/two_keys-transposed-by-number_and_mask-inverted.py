"""Keys are transposed by transpose(1, 2), which is S and E for inputs of three dimensions alone; True in the mask is read as hidden."""
# cause: keys-transposed-by-number, mask-inverted

import math

import torch
from torch import Tensor


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    # scaled before the product: query @ key of large float16 inputs overflows
    scores = (query / math.sqrt(query.size(-1))) @ key.transpose(1, 2)  # (..., L, S)
    if mask is None:
        return scores.softmax(dim=-1) @ value  # (..., L, Ev)
    # the lowest finite number, for a row of -inf has no softmax; a row without keys is zeroed after it
    scores = scores.masked_fill(mask, torch.finfo(scores.dtype).min)  # (..., L, S)
    weights = scores.softmax(dim=-1).masked_fill(mask, 0.0)  # (..., L, S)
    return weights @ value  # (..., L, Ev)
