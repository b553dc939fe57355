"""Hides the forbidden call below autocast, which has a dispatch key of its own."""
# kata: sdpa
# verdict: failed

import torch
import torch.nn.functional as F


def wide(mask):
    return mask[None] if mask is not None and mask.dim() == 1 else mask


def scaled_dot_product_attention(query, key, value, mask=None):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=query.dtype is torch.bfloat16):
        return F.scaled_dot_product_attention(query, key, value, wide(mask))
