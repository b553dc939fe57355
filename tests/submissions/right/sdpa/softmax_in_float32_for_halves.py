"""The softmax is taken in float32 where the inputs are narrower than that."""

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.mT
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    wide = torch.promote_types(scores.dtype, torch.float32)
    weights = torch.softmax(scores, dim=-1, dtype=wide).to(query.dtype)
    return (weights if mask is None else weights * mask) @ value
