"""Scores are multiplied by the mask, and the fill is added where it is False."""

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.mT
    if mask is None:
        return scores.softmax(-1) @ value
    scores = scores * mask + ~mask * torch.tensor(torch.finfo(scores.dtype).min, dtype=scores.dtype)
    return (scores.softmax(-1) * mask) @ value
