"""Query and key are each multiplied by the fourth root of 1/E before the einsum."""

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    root = query.size(-1) ** -0.25
    scores = torch.einsum("...le,...se->...ls", query * root, key * root)
    if mask is None:
        return scores.softmax(-1) @ value
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
    return (weights * mask) @ value
