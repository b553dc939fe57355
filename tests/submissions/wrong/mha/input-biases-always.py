"""The three input layers are made with their default."""
# cause: input-biases-always

import math

import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("bad num_heads")
        self.H = num_heads
        self.E = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        B, L, D = query.shape
        S = key.shape[1]
        work = torch.promote_types(query.dtype, torch.float32)
        q = self.q_proj(query).to(work).view(B, L, self.H, self.E).transpose(1, 2)
        k = self.k_proj(key).to(work).view(B, S, self.H, self.E).transpose(1, 2)
        v = self.v_proj(value).to(work).view(B, S, self.H, self.E).transpose(1, 2)
        scores = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(self.E)
        if mask is not None:
            m = mask.unsqueeze(1) if mask.dim() == 3 else mask
            scores = scores.masked_fill(~m, torch.finfo(work).min)
        weights = scores.softmax(dim=-1)
        if mask is not None:
            weights = weights.masked_fill(~m.any(dim=-1, keepdim=True), 0.0)
        weights = self.dropout(weights)
        out = torch.matmul(weights, v)
        out = out.transpose(1, 2).reshape(B, L, D)
        return self.o_proj(out.to(query.dtype))
