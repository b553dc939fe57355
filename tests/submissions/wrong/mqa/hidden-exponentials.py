"""Masked scores are exponentiated too and dropped afterwards: where they are huge, the gradient is NaN."""
# cause: hidden-exponentials

import math

import torch
import torch.nn.functional as F
from torch import nn


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{d_model} features do not divide into {num_heads} heads")
        self.heads, self.kv_heads, self.width, self.rate = num_heads, 1, d_model // num_heads, dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.kv_heads * self.width, bias=bias)
        self.v_proj = nn.Linear(d_model, self.kv_heads * self.width, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def split(self, x):
        x = x.unflatten(-1, (-1, self.width)).transpose(1, 2)
        return x.repeat_interleave(self.heads // x.size(1), dim=1)

    def forward(self, query, key, value, mask=None):
        q, k, v = self.split(self.q_proj(query)), self.split(self.k_proj(key)), self.split(self.v_proj(value))
        scores = (q / math.sqrt(self.width)) @ k.mT
        if mask is None:
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool)
        mask = mask.unsqueeze(1) if mask.dim() == 3 else mask
        top = scores.masked_fill(~mask, -math.inf).amax(-1, keepdim=True).detach()
        top = torch.where(top == -math.inf, torch.zeros_like(top), top)
        e = torch.where(mask, torch.exp(scores - top), 0.0)
        weights = e / e.sum(-1, keepdim=True).clamp_min(1e-6)
        weights = F.dropout(weights, self.rate, self.training)
        return self.o_proj((weights @ v).transpose(1, 2).flatten(2))
