"""The cache and the new tokens are copied into a buffer of the right size."""
# star: none

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be divisible by num_heads")
        if num_heads % num_kv_heads != 0:
            raise ValueError("num_heads must be divisible by num_kv_heads")
        self.H, self.K, self.E = num_heads, num_kv_heads, d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.K * self.E, bias=bias)
        self.v_proj = nn.Linear(d_model, self.K * self.E, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x: Tensor, kv_cache=None):
        B, L, D = x.shape
        H, K, E = self.H, self.K, self.E
        G = H // K
        q = self.q_proj(x).view(B, L, H, E).transpose(1, 2)
        k = self.k_proj(x).view(B, L, K, E).transpose(1, 2)
        v = self.v_proj(x).view(B, L, K, E).transpose(1, 2)
        past = 0 if kv_cache is None else kv_cache[0].size(2)
        room = past + L
        if kv_cache is None:
            kb = k.new_zeros(B, K, room, E); vb = v.new_zeros(B, K, room, E)
        else:
            kb = k.new_zeros(B, K, room, E); vb = v.new_zeros(B, K, room, E)
            kb[:, :, :past] = kv_cache[0]; vb[:, :, :past] = kv_cache[1]
        kb[:, :, past : past + L] = k; vb[:, :, past : past + L] = v
        k, v = kb[:, :, : past + L], vb[:, :, : past + L]
        cache = (k, v)
        S = k.size(2)
        kk = k.repeat_interleave(G, dim=1)
        vv = v.repeat_interleave(G, dim=1)
        s = (q / math.sqrt(E)) @ kk.transpose(-2, -1)
        mask = torch.ones(L, S, dtype=torch.bool, device=x.device).tril(past)
        s = s.masked_fill(~mask, float("-inf"))
        w = s.softmax(dim=-1)
        o = w @ vv
        y = self.o_proj(o.transpose(1, 2).reshape(B, L, D))
        return y, cache
