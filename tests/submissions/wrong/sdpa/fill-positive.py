"""Masked scores are set to a large positive number instead of a negative one."""
# cause: fill-positive

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    d_k = query.size(-1)
    query = query / math.sqrt(d_k)
    scores = torch.matmul(query, key.transpose(-2, -1))

    if mask is not None:
        scores = scores.masked_fill(~mask, 1e4 * 1e5)

    weights = torch.softmax(scores, dim=-1)

    return torch.matmul(weights, value)
