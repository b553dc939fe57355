"""Has the forbidden call compiled."""
# kata: sdpa
# verdict: broken

import torch
import torch.nn.functional as F

weigh = torch.compile(F.scaled_dot_product_attention, backend="eager")


def wide(mask):
    return mask[None] if mask is not None and mask.dim() == 1 else mask


def scaled_dot_product_attention(query, key, value, mask=None):
    return weigh(query, key, value, wide(mask))
