"""Half of the lowest number is added to masked scores, which leaves room for scores of either sign."""

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.mT
    if mask is not None:
        scores = scores + (~mask).to(scores.dtype) * (torch.finfo(scores.dtype).min / 2)
    weights = scores.softmax(-1)
    return (weights if mask is None else weights * mask) @ value
