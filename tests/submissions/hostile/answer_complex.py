"""Answers with complex numbers."""
# kata: sdpa
# verdict: failed

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.transpose(-2, -1)
    out = scores.softmax(-1) @ value
    return torch.complex(out.double(), out.double())
