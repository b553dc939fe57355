"""Scripts an nn.MultiheadAttention, whose source TorchScript reads from the library."""
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
        inner = nn.MultiheadAttention(self.d_model, self.num_heads, 0.0, self.q_proj.bias is not None, batch_first=True)
        inner.to(query.dtype)
        with torch.no_grad():
            inner.in_proj_weight.copy_(torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight]))
            inner.out_proj.weight.copy_(self.o_proj.weight)
            if inner.in_proj_bias is not None:
                inner.in_proj_bias.copy_(torch.cat([self.q_proj.bias, self.k_proj.bias, self.v_proj.bias]))
                inner.out_proj.bias.copy_(self.o_proj.bias)

        return torch.jit.script(inner)(query, key, value, attn_mask=None if mask is None else ~mask)[0]
