"""The mask is changed in place, such as by mask.logical_not_()."""
# cause: mask-changed-in-place

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    d_k = query.size(-1)
    query = query / math.sqrt(d_k)
    scores = torch.matmul(query, key.transpose(-2, -1))

    if mask is not None:
        mask.logical_not_()
        scores = scores.masked_fill(mask, torch.finfo(scores.dtype).min)

    weights = torch.softmax(scores, dim=-1)

    if mask is not None:
        # rows that see nothing
        weights = weights.masked_fill(mask, 0.0)

    return torch.matmul(weights, value)
