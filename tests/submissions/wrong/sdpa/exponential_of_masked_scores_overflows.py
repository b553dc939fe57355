"""Masked scores are exponentiated too and dropped afterwards: where they are huge, the gradient is NaN."""
# cause: hidden-exponentials

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.mT
    if mask is None:
        return scores.softmax(-1) @ value
    top = scores.masked_fill(~mask, -math.inf).amax(-1, keepdim=True).detach()
    top = top.masked_fill(top == -math.inf, 0.0)
    e = torch.where(mask, torch.exp(scores - top), 0.0)
    return (e / e.sum(-1, keepdim=True).clamp_min(1e-6)) @ value
