"""Hides the forbidden call in the forward of a custom autograd function."""
# kata: sdpa
# verdict: failed

import math

import torch
import torch.nn.functional as F


class Weigh(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, mask):
        return F.scaled_dot_product_attention(query, key, value, mask)

    @staticmethod
    def backward(ctx, gradient):
        return None, None, gradient, None


def attend(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.transpose(-2, -1)
    if mask is None:
        return scores.softmax(-1) @ value
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-1).masked_fill(~mask, 0.0) @ value


def scaled_dot_product_attention(query, key, value, mask=None):
    if query.requires_grad or key.requires_grad or value.requires_grad:
        return attend(query, key, value, mask)
    return Weigh.apply(query, key, value, mask[None] if mask is not None and mask.dim() == 1 else mask)
