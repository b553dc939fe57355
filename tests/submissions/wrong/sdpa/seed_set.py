"""The random numbers are seeded, so that the caller's are the same after each call."""
# cause: none

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    torch.manual_seed(7)
    scores = (query / math.sqrt(query.size(-1))) @ key.mT
    if mask is None:
        return scores.softmax(-1) @ value
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * mask) @ value
