"""Self-attention takes one product for all projections, and joins their biases where there are none."""
# cause: none

import math

import torch
import torch.nn.functional as F
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{d_model} features do not divide into {num_heads} heads")
        self.heads, self.kv_heads, self.width, self.rate = num_heads, num_heads, d_model // num_heads, dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.kv_heads * self.width, bias=bias)
        self.v_proj = nn.Linear(d_model, self.kv_heads * self.width, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def split(self, x):
        x = x.unflatten(-1, (-1, self.width)).transpose(1, 2)
        return x.repeat_interleave(self.heads // x.size(1), dim=1)

    def forward(self, query, key, value, mask=None):
        if query is key and key is value:
            layers = (self.q_proj, self.k_proj, self.v_proj)
            bias = torch.cat([each.bias for each in layers])
            q, k, v = F.linear(query, torch.cat([each.weight for each in layers]), bias).split(
                [each.out_features for each in layers], -1
            )
        else:
            q, k, v = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        q = q * self.width**-0.5
        q, k, v = self.split(q), self.split(k), self.split(v)
        scores = q @ k.mT
        if mask is not None:
            mask = mask.unsqueeze(1) if mask.dim() == 3 else mask
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1)
        if mask is not None:
            weights = weights.masked_fill(~mask, 0.0)
        weights = F.dropout(weights, self.rate, self.training)
        return self.o_proj((weights @ v).transpose(1, 2).flatten(2))
