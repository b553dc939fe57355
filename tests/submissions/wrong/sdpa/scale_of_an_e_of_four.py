"""The scale is a constant, 1/2, which is right for E = 4 alone."""
# cause: scale-constant

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = (query * 0.5) @ key.mT
    if mask is None:
        return scores.softmax(-1) @ value
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * mask) @ value
