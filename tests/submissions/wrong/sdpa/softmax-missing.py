"""The scores are used as weights, without a softmax."""
# cause: softmax-missing

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    d_k = query.size(-1)
    query = query / math.sqrt(d_k)
    scores = torch.matmul(query, key.transpose(-2, -1))

    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))

    weights = scores

    return torch.matmul(weights, value)
