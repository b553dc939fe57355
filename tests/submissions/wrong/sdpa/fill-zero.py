"""Masked scores are set to 0 before the softmax instead of to -inf."""
# cause: fill-zero

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    d_k = query.size(-1)
    query = query / math.sqrt(d_k)
    scores = torch.matmul(query, key.transpose(-2, -1))

    if mask is not None:
        scores = scores * mask

    weights = torch.softmax(scores, dim=-1)

    return torch.matmul(weights, value)
