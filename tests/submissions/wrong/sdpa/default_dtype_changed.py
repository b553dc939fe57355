"""The default dtype becomes that of query, and stays so for the caller."""
# cause: none

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    torch.set_default_dtype(query.dtype)
    scores = (query / math.sqrt(query.size(-1))) @ key.mT
    if mask is None:
        return scores.softmax(-1) @ value
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * mask) @ value
