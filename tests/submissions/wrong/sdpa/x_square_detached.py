"""With as many queries as keys no gradient reaches the query."""
# cause: none

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    scores = (query / math.sqrt(query.size(-1))) @ key.transpose(-2, -1)
    if scores.size(-1) == scores.size(-2):
        scores = scores.detach()
    if mask is None:
        return scores.softmax(dim=-1) @ value
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)
    return weights @ value
