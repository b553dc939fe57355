"""A non-persistent integer buffer maps query heads to key/value heads; keys and values are gathered by it."""
# star: none

import math

import torch
from torch import nn


class GroupedQueryAttention(nn.Module):
    kv_index: torch.Tensor

    def __init__(self, d_model, num_heads, num_kv_heads, dropout=0.0, bias=True):
        super().__init__()
        for a, b, what in ((d_model, num_heads, "d_model/num_heads"), (num_heads, num_kv_heads, "num_heads/num_kv_heads")):
            if a % b:
                raise ValueError(f"{what}: {a} is not a multiple of {b}")
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        self.register_buffer("kv_index", torch.arange(num_heads) // (num_heads // num_kv_heads), persistent=False)
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.attention_dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        B, L, _ = query.shape
        S = key.shape[1]
        q = self.q_proj(query).view(B, L, -1, self.head_dim)
        k = self.k_proj(key).view(B, S, -1, self.head_dim)[:, :, self.kv_index]
        v = self.v_proj(value).view(B, S, -1, self.head_dim)[:, :, self.kv_index]
        # (B, L, H, E) and (B, S, H, E) all the way, only the scores have the heads in front
        scores = torch.einsum("blhe,bshe->bhls", q / math.sqrt(self.head_dim), k)
        if mask is None:
            weights = scores.softmax(-1)
        else:
            if mask.ndim == 3:
                mask = mask.unsqueeze(1)
            weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
            weights = weights.where(mask, weights.new_zeros(()))
        out = torch.einsum("bhls,bshe->blhe", self.attention_dropout(weights), v)
        return self.o_proj(out.reshape(B, L, -1))
