"""The softmax is taken in float32, as in much public code, although the inputs may be float64."""
# cause: softmax-in-float32

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.mT
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(torch.float16).min)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return (weights if mask is None else weights * mask) @ value
