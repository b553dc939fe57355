"""Calls the slow variant of PyTorch's attention."""
# kata: sdpa
# verdict: failed

import math

import torch


def attend(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.transpose(-2, -1)
    if mask is None:
        return scores.softmax(-1) @ value
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-1).masked_fill(~mask, 0.0) @ value


def scaled_dot_product_attention(query, key, value, mask=None):
    if mask is not None:
        return attend(query, key, value, mask)
    return torch._scaled_dot_product_attention_math(query, key, value, mask)[0]
