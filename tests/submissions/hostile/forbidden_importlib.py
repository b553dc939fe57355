"""Imports the module of the forbidden function by importlib."""
# kata: sdpa
# verdict: broken

import importlib


def wide(mask):
    return mask[None] if mask is not None and mask.dim() == 1 else mask


def scaled_dot_product_attention(query, key, value, mask=None):
    module = importlib.import_module("torch.nn.functional")
    return module.scaled_dot_product_attention(query, key, value, wide(mask))
