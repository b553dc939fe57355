"""Scores are multiplied by the mask and zeros become the lowest number: an allowed score of 0 is hidden too."""
# cause: none

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.mT
    if mask is None:
        return scores.softmax(-1) @ value
    scores = (scores * mask).masked_fill(scores * mask == 0, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * mask) @ value
