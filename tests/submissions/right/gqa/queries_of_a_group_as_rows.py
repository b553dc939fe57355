"""The queries of a group are the rows of one matrix, head by head, and so are the rows of the mask."""

import torch
from torch import nn


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads or num_heads % num_kv_heads:
            raise ValueError(f"{d_model=} {num_heads=} {num_kv_heads=}")
        self.kv_heads, self.group = num_kv_heads, num_heads // num_kv_heads
        self.head_dim = d_model // num_heads
        width = num_kv_heads * self.head_dim
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, width, bias=bias)
        self.v_proj = nn.Linear(d_model, width, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        B, L, D = query.shape
        q = self.q_proj(query).view(B, L, self.kv_heads, self.group, self.head_dim)
        q = q.permute(0, 2, 3, 1, 4).reshape(B, self.kv_heads, self.group * L, self.head_dim)
        k = self.k_proj(key).unflatten(-1, (self.kv_heads, self.head_dim)).transpose(1, 2)
        v = self.v_proj(value).unflatten(-1, (self.kv_heads, self.head_dim)).transpose(1, 2)
        scores = q * self.head_dim**-0.5 @ k.transpose(2, 3)
        if mask is None:
            weights = scores.softmax(-1)
        else:
            mask = mask if mask.dim() == 4 else mask.unsqueeze(-3)
            if mask.dim() == 4 and mask.size(1) > 1:
                mask = mask.reshape(mask.size(0), self.kv_heads, self.group * L, -1)
            else:
                mask = torch.cat([mask] * self.group, dim=-2)
            seen = mask.any(-1, keepdim=True)
            weights = scores.masked_fill(~mask & seen, -torch.inf).softmax(-1) * seen
        heads = (self.dropout(weights) @ v).view(B, self.kv_heads, self.group, L, self.head_dim)
        return self.o_proj(heads.permute(0, 3, 1, 2, 4).reshape(B, L, D))
