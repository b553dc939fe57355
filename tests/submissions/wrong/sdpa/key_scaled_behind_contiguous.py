"""What contiguous returns is scaled in place: with a single key that is no copy but the key of the caller."""
# cause: query-changed-in-place

import math

import torch
from torch import Tensor


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    columns = key.transpose(-2, -1).contiguous()  # (..., E, S)
    scores = query @ columns.mul_(1 / math.sqrt(query.size(-1)))  # (..., L, S)
    if mask is None:
        return scores.softmax(dim=-1) @ value  # (..., L, Ev)
    # the lowest finite number, for a row of -inf has no softmax; a row without keys is zeroed after it
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)  # (..., L, S)
    weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)  # (..., L, S)
    return weights @ value  # (..., L, Ev)
