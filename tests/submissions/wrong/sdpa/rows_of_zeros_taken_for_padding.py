"""Keys that are all zeros are taken for padding and hidden, whatever the mask says."""
# cause: none

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.mT
    scores = scores.masked_fill((key == 0).all(-1).unsqueeze(-2), torch.finfo(scores.dtype).min)
    if mask is None:
        return scores.softmax(-1) @ value
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * mask) @ value
