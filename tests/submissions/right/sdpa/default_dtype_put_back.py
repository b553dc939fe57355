"""The default dtype is that of query while the work is done, and then what it was."""

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    before = torch.get_default_dtype()
    torch.set_default_dtype(query.dtype)
    try:
        fill = torch.tensor(torch.finfo(query.dtype).min)
    finally:
        torch.set_default_dtype(before)
    scores = (query / math.sqrt(query.size(-1))) @ key.mT
    if mask is None:
        return scores.softmax(-1) @ value
    scores = torch.where(mask, scores, fill)
    return (scores.softmax(-1) * mask) @ value
