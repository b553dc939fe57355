"""Query, key or value is changed in place, such as by query /= sqrt(head_dim)."""
# cause: query-changed-in-place

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    d_k = query.size(-1)
    query /= math.sqrt(d_k)
    scores = torch.matmul(query, key.transpose(-2, -1))

    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)

    weights = torch.softmax(scores, dim=-1)

    if mask is not None:
        # rows that see nothing
        weights = weights.masked_fill(~mask, 0.0)

    return torch.matmul(weights, value)
