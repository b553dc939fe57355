"""Uses flex_attention."""
# kata: sdpa
# verdict: failed

import math

import torch
from torch.nn.attention.flex_attention import flex_attention


def attend(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.transpose(-2, -1)
    if mask is None:
        return scores.softmax(-1) @ value
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-1).masked_fill(~mask, 0.0) @ value


def scaled_dot_product_attention(query, key, value, mask=None):
    if query.requires_grad or key.requires_grad or value.requires_grad:
        return attend(query, key, value, mask)
    three = [x.reshape(1, -1, *x.shape[-2:]) for x in (query, key, value)]
    if mask is None:
        return flex_attention(*three).reshape(*query.shape[:-1], value.size(-1))
    every = mask.broadcast_to(*query.shape[:-1], key.size(-2)).reshape(-1, query.size(-2), key.size(-2))
    allowed = lambda score, b, h, i, j: torch.where(every[h, i, j], score, -float("inf"))
    return flex_attention(*three, score_mod=allowed).reshape(*query.shape[:-1], value.size(-1))
