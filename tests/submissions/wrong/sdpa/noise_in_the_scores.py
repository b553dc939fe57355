"""A noise of 1e-12 is added to the scores, so that no two calls agree."""
# cause: none

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.mT
    scores = scores + 1e-12 * torch.randn_like(scores)
    if mask is None:
        return scores.softmax(-1) @ value
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * mask) @ value
