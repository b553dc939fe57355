"""A large negative fill, such as -1e9, lets a query that may attend to nothing attend to all keys
alike."""
# cause: empty-row-uniform

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    d_k = query.size(-1)
    query = query / math.sqrt(d_k)
    scores = torch.matmul(query, key.transpose(-2, -1))

    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)

    weights = torch.softmax(scores, dim=-1)

    return torch.matmul(weights, value)
