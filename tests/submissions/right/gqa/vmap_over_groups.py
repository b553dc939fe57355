"""Nested vmap: over the batch, over key/value heads, and over the queries heads of a group that share them."""
# star: none

import torch
from torch import nn, vmap


def attend(q, k, v, seen, drop):
    scores = torch.where(seen, (q / q.size(-1) ** 0.5) @ k.T, torch.finfo(q.dtype).min)
    weights = torch.where(seen, scores.softmax(-1), 0.0)
    return drop(weights) @ v


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model", d_model, "num_heads", num_heads)
        if num_heads % num_kv_heads:
            raise ValueError("num_heads", num_heads, "num_kv_heads", num_kv_heads)
        self.shape = (num_kv_heads, num_heads // num_kv_heads, d_model // num_heads)
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.shape[2], bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.shape[2], bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        K, G, E = self.shape
        B, L, S = query.size(0), query.size(1), key.size(1)
        q = self.q_proj(query).view(B, L, K, G, E)
        k = self.k_proj(key).view(B, S, K, E)
        v = self.v_proj(value).view(B, S, K, E)
        if mask is None:
            mask = query.new_ones(L, S, dtype=torch.bool)
        if mask.dim() == 3:
            mask = mask[:, None]
        mask = mask.expand(B, K * G, L, S).unflatten(1, (K, G))
        f = lambda q, k, v, m: attend(q, k, v, m, self.drop)
        f = vmap(f, in_dims=(1, None, None, 0), out_dims=1, randomness="different")  # heads of a group
        f = vmap(f, in_dims=(1, 1, 1, 0), out_dims=1, randomness="different")  # groups
        f = vmap(f, randomness="different")  # batch
        return self.o_proj(f(q, k, v, mask).reshape(B, L, K * G * E))
