"""The wide projections and the narrow ones follow bias."""
# star: none

import math

import torch
from torch import nn


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"num_heads={num_heads} does not divide d_model={d_model}")
        self.num_heads, self.head_dim = num_heads, d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        B, L, D = query.shape
        q = self.q_proj(query).view(B, L, self.num_heads, self.head_dim).transpose(1, 2)
        k, v = self.k_proj(key).unsqueeze(1), self.v_proj(value).unsqueeze(1)
        scores = (q / math.sqrt(self.head_dim)) @ k.transpose(-2, -1)
        if mask is None:
            weights = scores.softmax(dim=-1)
        else:
            if mask.dim() == 3:
                mask = mask.unsqueeze(1)
            weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
            weights = weights.masked_fill(~mask, 0.0)
        out = (self.dropout(weights) @ v).transpose(1, 2).reshape(B, L, D)
        return self.o_proj(out)
