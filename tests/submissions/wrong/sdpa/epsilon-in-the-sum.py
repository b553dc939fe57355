"""A small number keeps the division from 0 / 0, and all the weights from their sum."""
# cause: epsilon-in-the-sum

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    d_k = query.size(-1)
    query = query / math.sqrt(d_k)
    scores = torch.matmul(query, key.transpose(-2, -1))

    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)

    top = scores.amax(dim=-1, keepdim=True)
    weights = torch.exp(scores - top)
    weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-6)

    if mask is not None:
        # rows that see nothing
        weights = weights.masked_fill(~mask, 0.0)

    return torch.matmul(weights, value)
