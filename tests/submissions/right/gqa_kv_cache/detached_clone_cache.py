"""The returned cache is a detached copy, keys and values expanded for the heads only inside forward."""
# star: none

import math
from typing import Optional, Tuple

import torch
import torch.nn as nn


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, bias: bool = True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model ({d_model}) must be divisible by num_heads ({num_heads})")
        if num_heads % num_kv_heads != 0:
            raise ValueError(f"num_heads ({num_heads}) must be divisible by num_kv_heads ({num_kv_heads})")
        self.d_model = d_model
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def _expand(self, t: torch.Tensor) -> torch.Tensor:
        B, K, S, E = t.shape
        return t.unsqueeze(2).expand(B, K, self.num_heads // K, S, E).reshape(B, self.num_heads, S, E)

    def forward(
        self, x: torch.Tensor, kv_cache: Optional[Tuple[torch.Tensor, torch.Tensor]] = None
    ) -> Tuple[torch.Tensor, Tuple[torch.Tensor, torch.Tensor]]:
        B, L, _ = x.shape
        q = self.q_proj(x).reshape(B, L, self.num_heads, self.head_dim).permute(0, 2, 1, 3)
        k = self.k_proj(x).reshape(B, L, self.num_kv_heads, self.head_dim).permute(0, 2, 1, 3)
        v = self.v_proj(x).reshape(B, L, self.num_kv_heads, self.head_dim).permute(0, 2, 1, 3)

        if kv_cache:
            past_k, past_v = kv_cache
            k = torch.cat([past_k, k], dim=-2)
            v = torch.cat([past_v, v], dim=-2)
        new_cache = (k.detach().clone(), v.detach().clone())

        scores = torch.matmul(q * (1.0 / math.sqrt(self.head_dim)), self._expand(k).transpose(-1, -2))
        S = k.shape[-2]
        causal = torch.triu(torch.full((L, S), float("-inf"), device=x.device), diagonal=S - L + 1)
        scores = scores + causal.to(scores.dtype)
        attn = torch.softmax(scores.float() if scores.dtype.itemsize < 4 else scores, dim=-1).to(v.dtype)
        out = torch.matmul(attn, self._expand(v))
        return self.o_proj(out.permute(0, 2, 1, 3).reshape(B, L, self.d_model)), new_cache
