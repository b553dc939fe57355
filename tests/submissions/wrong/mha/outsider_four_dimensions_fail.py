"""A mask of four dimensions raises an error."""
# cause: scale-after-product

import torch
import torch.nn.functional as F
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model={d_model} is not divisible by num_heads={num_heads}")
        self.d_model = d_model
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads

        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = dropout

    def forward(self, query, key, value, mask=None):
        q = self.q_proj(query).unflatten(-1, (self.num_heads, self.head_dim))
        k = self.k_proj(key).unflatten(-1, (self.num_heads, self.head_dim))
        v = self.v_proj(value).unflatten(-1, (self.num_heads, self.head_dim))

        logits = torch.einsum("blhe,bshe->bhls", q, k) * self.head_dim ** -0.5

        if mask is not None:
            if mask.ndim == 2:
                mask = mask[None, None]
            elif mask.ndim == 3:
                mask = mask[:, None]
            else:
                raise TypeError("mask must be 2-D or 3-D")
            blind = ~mask.any(dim=-1, keepdim=True)
            logits = logits.masked_fill(~mask & ~blind, float("-inf"))

        attn = F.softmax(logits, dim=-1)
        if mask is not None:
            attn = attn.masked_fill(blind, 0.0)
        attn = F.dropout(attn, p=self.dropout, training=self.training)

        out = torch.einsum("bhls,bshe->blhe", attn, v)
        return self.o_proj(out.flatten(2))
