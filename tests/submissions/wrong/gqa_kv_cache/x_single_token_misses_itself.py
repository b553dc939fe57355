"""A single new token after a cache attends to the past only, not to itself."""
# cause: none

import math

import torch
import torch.nn as nn


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, bias=True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model {d_model} / num_heads {num_heads}")
        if num_heads % num_kv_heads != 0:
            raise ValueError(f"num_heads {num_heads} / num_kv_heads {num_kv_heads}")
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, num_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(num_heads * self.head_dim, d_model, bias=bias)

    def grow(self, old, fresh):
        past = 0 if old is None else old.shape[2]
        B, K, L, E = fresh.shape
        buffer = fresh.new_empty(B, K, past + L, E)
        if past:
            buffer[:, :, :past] = old
        buffer[:, :, past:] = fresh
        return buffer

    def forward(self, x, kv_cache=None):
        B, L, D = x.shape
        old_k, old_v = kv_cache if kv_cache is not None else (None, None)
        q = self.q_proj(x).view(B, L, self.num_heads, self.head_dim).transpose(1, 2)
        k = self.grow(old_k, self.k_proj(x).view(B, L, self.num_kv_heads, self.head_dim).transpose(1, 2))
        v = self.grow(old_v, self.v_proj(x).view(B, L, self.num_kv_heads, self.head_dim).transpose(1, 2))
        S = k.shape[2]
        group = self.num_heads // self.num_kv_heads
        kk = k.repeat_interleave(group, dim=1)
        vv = v.repeat_interleave(group, dim=1)
        scores = (q / math.sqrt(self.head_dim)) @ kk.transpose(-2, -1)
        last = torch.arange(S - L, S, device=x.device).unsqueeze(1)
        future = torch.arange(S, device=x.device) > (last if L > 1 or S == 1 else last - 1)
        scores = scores.masked_fill(future, float("-inf"))
        out = scores.softmax(dim=-1) @ vv
        return self.o_proj(out.transpose(1, 2).reshape(B, L, D)), (k, v)
