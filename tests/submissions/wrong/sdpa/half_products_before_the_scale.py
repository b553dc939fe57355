"""In float16 the products of E = 128 overflow: they are scaled when it is too late."""
# cause: scale-after-product

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = torch.einsum("...le,...se->...ls", query, key) * query.size(-1) ** -0.5
    if mask is None:
        return scores.softmax(-1) @ value
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
    return (weights * mask) @ value
