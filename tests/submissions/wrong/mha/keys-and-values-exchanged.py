"""The core is a function of heads, which the layer calls with its values before its keys."""
# cause: keys-and-values-exchanged

import math

import torch
from torch import nn


def attention(q, k, v, mask, dropout):
    scores = (q / math.sqrt(q.size(-1))) @ k.transpose(-2, -1)
    if mask is None:
        return dropout(scores.softmax(dim=-1)) @ v
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return dropout(weights.masked_fill(~mask, 0.0)) @ v


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"{num_heads} heads do not fit into d_model={d_model}")
        self.num_heads = num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def heads(self, x):
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, query, key, value, mask=None):
        q, k, v = self.heads(self.q_proj(query)), self.heads(self.k_proj(key)), self.heads(self.v_proj(value))
        if mask is not None and mask.dim() == 3:
            mask = mask[:, None]
        out = attention(q, v, k, mask, self.dropout)
        return self.o_proj(out.transpose(1, 2).flatten(2))
