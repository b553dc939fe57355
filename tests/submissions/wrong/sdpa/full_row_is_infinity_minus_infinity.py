"""The lowest masked score is taken off first: a row of which nothing is masked has none, and is NaN."""
# cause: none

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.mT
    if mask is None:
        return scores.softmax(-1) @ value
    floor = scores.masked_fill(mask, math.inf).amin(-1, keepdim=True)
    scores = (scores - floor).masked_fill(~mask, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * mask) @ value
