"""The queries are projected from key, and the keys and values from query."""
# cause: cross-attention-reversed

import torch
import torch.nn.functional as F
from torch import nn


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model={d_model} is not divisible by num_heads={num_heads}")
        if num_heads % num_kv_heads != 0:
            raise ValueError(f"num_heads={num_heads} is not divisible by num_kv_heads={num_kv_heads}")
        self.d_model = d_model
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.group_size = num_heads // num_kv_heads
        self.head_dim = d_model // num_heads

        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = dropout

    def forward(self, query, key, value, mask=None):
        q = self.q_proj(key).unflatten(-1, (self.num_heads, self.head_dim))
        k = self.k_proj(query).unflatten(-1, (self.num_kv_heads, self.head_dim))
        v = self.v_proj(query).unflatten(-1, (self.num_kv_heads, self.head_dim))

        k = k.repeat_interleave(self.group_size, dim=2)
        v = v.repeat_interleave(self.group_size, dim=2)

        logits = torch.einsum("blhe,bshe->bhls", q, k) * self.head_dim ** -0.5

        if mask is not None:
            if mask.ndim == 2:
                mask = mask[None, None]
            elif mask.ndim == 3:
                mask = mask[:, None]
            blind = ~mask.any(dim=-1, keepdim=True)
            logits = logits.masked_fill(~mask & ~blind, float("-inf"))

        attn = F.softmax(logits, dim=-1)
        if mask is not None:
            attn = attn.masked_fill(blind, 0.0)
        attn = F.dropout(attn, p=self.dropout, training=self.training)

        out = torch.einsum("bhls,bshe->blhe", attn, v)
        return self.o_proj(out.flatten(2))
