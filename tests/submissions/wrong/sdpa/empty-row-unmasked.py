"""A large negative number is added to masked scores, which moves all the scores of an empty row alike."""
# cause: empty-row-unmasked

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    d_k = query.size(-1)
    query = query / math.sqrt(d_k)
    scores = torch.matmul(query, key.transpose(-2, -1))

    if mask is not None:
        scores = scores + (~mask).to(scores.dtype) * -1e9

    weights = torch.softmax(scores, dim=-1)

    return torch.matmul(weights, value)
