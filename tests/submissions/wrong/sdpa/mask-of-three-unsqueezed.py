"""A mask of three dimensions is given one for the heads, which four-dimensional inputs have already."""
# cause: mask-of-three-unsqueezed

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.mT
    if mask is not None:
        mask = mask.unsqueeze(1) if mask.dim() == 3 and scores.dim() == 4 else mask
        scores = scores + (~mask).to(scores.dtype) * (torch.finfo(scores.dtype).min / 2)
    weights = scores.softmax(-1)
    return (weights if mask is None else weights * mask) @ value
