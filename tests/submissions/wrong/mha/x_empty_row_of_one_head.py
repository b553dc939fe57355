"""Rows are zeroed only when no head may attend to anything; a row that is empty in one head alone averages the values."""
# cause: none

import torch
from torch import nn
from torch.func import vmap


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"num_heads ({num_heads}) must divide d_model ({d_model})")
        self.num_heads = num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def one_head(self, q, k, v, seen):
        scores = (q * q.shape[1] ** -0.5) @ k.T
        scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=1)
        return self.dropout(weights) @ v

    def forward(self, query, key, value, mask=None):
        B, L, D = query.shape
        S = key.shape[1]
        H = self.num_heads
        if mask is None:
            mask = torch.ones(1, dtype=torch.bool, device=query.device)
        elif mask.dim() == 3:
            mask = mask[:, None]
        mask = mask.expand(B, H, L, S)
        q = self.q_proj(query).reshape(B, L, H, -1)
        k = self.k_proj(key).reshape(B, S, H, -1)
        v = self.v_proj(value).reshape(B, S, H, -1)
        over_heads = vmap(self.one_head, in_dims=(1, 1, 1, 0), out_dims=1, randomness="different")
        over_batch = vmap(over_heads, randomness="different")
        alive = mask.any(dim=3).any(dim=1).unsqueeze(-1)  # (B, L, 1)
        return self.o_proj(over_batch(q, k, v, mask).reshape(B, L, D) * alive)
