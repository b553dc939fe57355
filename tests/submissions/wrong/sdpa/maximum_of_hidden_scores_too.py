"""The maximum that is subtracted before exp is that of all scores, hidden ones too: beside a large one all that is seen becomes 0."""
# cause: mask-renormalised

import math

import torch
from torch import Tensor


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    # scaled before the product: query @ key of large float16 inputs overflows
    scores = (query / math.sqrt(query.size(-1))) @ key.transpose(-2, -1)  # (..., L, S)
    powers = (scores - scores.amax(dim=-1, keepdim=True).detach()).exp()  # (..., L, S)
    if mask is not None:
        powers = torch.where(mask, powers, 0.0)  # (..., L, S)
    total = powers.sum(dim=-1, keepdim=True)  # (..., L, 1)
    return powers / torch.where(total == 0, 1.0, total) @ value  # (..., L, Ev)
