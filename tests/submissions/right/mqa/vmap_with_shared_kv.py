"""vmap over the heads of the query, with keys and values held fixed by in_dims=None."""
# star: none

import torch
import torch.nn as nn


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model={d_model}, num_heads={num_heads}")
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        k, v = self.k_proj(key), self.v_proj(value)
        heads = self.q_proj(query).unflatten(-1, (self.num_heads, self.head_dim))  # (B, L, H, E)

        def one_head(q, m):
            scores = (q / self.head_dim ** 0.5) @ k.mT
            if m is None:
                return self.dropout(scores.softmax(-1)) @ v
            scores = scores.masked_fill(~m, torch.finfo(scores.dtype).min)
            return self.dropout(scores.softmax(-1).masked_fill(~m, 0.0)) @ v

        per_head = mask is not None and mask.dim() == 4
        if per_head:
            mask = mask.expand(-1, self.num_heads, -1, -1)
        over_heads = torch.func.vmap(one_head, in_dims=(2, 1 if per_head else None), out_dims=2, randomness="different")
        return self.o_proj(over_heads(heads, mask).flatten(2))
