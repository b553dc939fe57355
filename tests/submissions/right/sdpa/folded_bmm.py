"""The leading dimensions become one, for torch.bmm, and the mask is expanded before it is folded with them."""

import math

import torch
from torch import Tensor


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    lead, L, S = query.shape[:-2], query.size(-2), key.size(-2)
    q, k, v = (x.reshape(-1, *x.shape[-2:]) for x in (query / math.sqrt(query.size(-1)), key, value))
    scores = torch.bmm(q, k.mT)
    if mask is None:
        return torch.bmm(scores.softmax(dim=-1), v).view(*lead, L, v.size(-1))
    mask = mask.expand(*lead, L, S).reshape(-1, L, S)
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)
    return torch.bmm(weights, v).view(*lead, L, v.size(-1))
