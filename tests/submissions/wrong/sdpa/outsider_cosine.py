"""Query and key are normalised to length 1, so that the scores are cosines."""
# cause: none

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    d_k = query.size(-1)
    query = query / query.norm(dim=-1, keepdim=True) / math.sqrt(d_k)
    key = key / key.norm(dim=-1, keepdim=True)
    scores = torch.matmul(query, key.transpose(-2, -1))

    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)

    weights = torch.softmax(scores, dim=-1)

    if mask is not None:
        # rows that see nothing
        weights = weights.masked_fill(~mask, 0.0)

    return torch.matmul(weights, value)
