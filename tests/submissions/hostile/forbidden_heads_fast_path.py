"""Calls the fused kernel behind nn.MultiheadAttention."""
# kata: mha
# verdict: failed

import math

import torch
import torch.nn.functional as F
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model ({d_model}) must be divisible by num_heads ({num_heads})")
        self.d_model, self.num_heads, self.dropout = d_model, num_heads, dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, query, key, value, mask=None):
        weight = torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])
        zeros = torch.zeros(self.d_model, dtype=query.dtype)
        layers = (self.q_proj, self.k_proj, self.v_proj)
        bias = torch.cat([zeros if layer.bias is None else layer.bias for layer in layers])
        last = zeros if self.o_proj.bias is None else self.o_proj.bias
        with torch.no_grad():
            return torch._native_multi_head_attention(
                query, key, value, self.d_model, self.num_heads, weight, bias, self.o_proj.weight, last,
                None if mask is None else ~mask,
            )[0]
