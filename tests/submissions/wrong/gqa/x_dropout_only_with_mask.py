"""Dropout is inside the branch for masks and forgotten without one."""
# cause: dropout-only-with-a-mask

import torch
import torch.nn.functional as F
from torch import nn


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("num_heads must divide d_model")
        if num_heads % num_kv_heads:
            raise ValueError("num_kv_heads must divide num_heads")
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads
        self.head_dim = d_model // num_heads
        self.p = dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def head(self, layer, x, n):
        rows = slice(n * self.head_dim, (n + 1) * self.head_dim)
        return F.linear(x, layer.weight[rows], None if layer.bias is None else layer.bias[rows])

    def forward(self, query, key, value, mask=None):
        group = self.num_heads // self.num_kv_heads
        keys = [self.head(self.k_proj, key, n) for n in range(self.num_kv_heads)]
        values = [self.head(self.v_proj, value, n) for n in range(self.num_kv_heads)]
        output = 0
        for h in range(self.num_heads):
            q = self.head(self.q_proj, query, h)
            k, v = keys[h // group], values[h // group]
            scores = (q / self.head_dim ** 0.5) @ k.transpose(1, 2)
            if mask is not None:
                m = mask
                if m.dim() == 4:
                    m = m[:, h] if m.shape[1] == self.num_heads else m.squeeze(1)
                scores = scores.masked_fill(~m, float("-inf"))
            weights = scores.softmax(-1)
            if mask is not None:
                weights = F.dropout(weights.nan_to_num(), self.p, self.training)
            # o_proj is linear: the sum over heads of each head's columns
            columns = self.o_proj.weight[:, h * self.head_dim:(h + 1) * self.head_dim]
            output = output + F.linear(weights @ v, columns)
        if self.o_proj.bias is not None:
            output = output + self.o_proj.bias
        return output
