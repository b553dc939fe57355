"""Answers rightly, and scales the query in place on the way."""
# kata: sdpa
# verdict: failed

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    with torch.no_grad():
        query.div_(math.sqrt(query.size(-1)))
    scores = query @ key.transpose(-2, -1)
    if mask is None:
        return scores.softmax(-1) @ value
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-1).masked_fill(~mask, 0.0) @ value
