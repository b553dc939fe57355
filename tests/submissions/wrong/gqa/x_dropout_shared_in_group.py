"""The query heads of a group drop the same weights."""
# cause: dropout-shared

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be divisible by num_heads")
        if num_heads % num_kv_heads != 0:
            raise ValueError("num_heads must be divisible by num_kv_heads")
        self.H, self.K, self.E = num_heads, num_kv_heads, d_model // num_heads
        self.p = dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.K * self.E, bias=bias)
        self.v_proj = nn.Linear(d_model, self.K * self.E, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        B, L, D = query.shape
        S = key.shape[1]
        H, K, E = self.H, self.K, self.E
        G = H // K
        q = self.q_proj(query).view(B, L, H, E).transpose(1, 2)
        k = self.k_proj(key).view(B, S, K, E).transpose(1, 2)
        v = self.v_proj(value).view(B, S, K, E).transpose(1, 2)
        k = k.repeat_interleave(G, dim=1)
        v = v.repeat_interleave(G, dim=1)
        s = (q / math.sqrt(E)) @ k.transpose(-2, -1)
        if mask is not None:
            if mask.dim() == 3:
                mask = mask[:, None]
            s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
        w = s.softmax(dim=-1)
        if mask is not None:
            w = w.masked_fill(~mask, 0.0)
        w = w * F.dropout(torch.ones_like(w[:, :K]), self.p, self.training).repeat_interleave(G, 1)
        o = w @ v
        y = self.o_proj(o.transpose(1, 2).reshape(B, L, D))
        return y
