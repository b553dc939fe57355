"""Lets torch.fx record the forbidden call, and runs the graph."""
# kata: sdpa
# verdict: failed

import torch
import torch.nn.functional as F

graph = torch.fx.symbolic_trace(lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m))


def wide(mask):
    return mask[None] if mask is not None and mask.dim() == 1 else mask


def scaled_dot_product_attention(query, key, value, mask=None):
    return graph(query, key, value, wide(mask))
