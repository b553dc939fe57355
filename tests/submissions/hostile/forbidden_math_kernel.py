"""Calls the slow variant of PyTorch's attention."""
# kata: sdpa
# verdict: failed

import torch


def wide(mask):
    return mask[None] if mask is not None and mask.dim() == 1 else mask


def scaled_dot_product_attention(query, key, value, mask=None):
    return torch._scaled_dot_product_attention_math(query, key, value, wide(mask))[0]
