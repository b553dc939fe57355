"""Masked scores are 0, the scale is the root of d_model, and new values stand before old ones."""
# cause: fill-zero, new-values-before-old, scale-d-model

import math

import torch
from torch import nn


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, bias=True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("num_heads must divide d_model")
        if num_heads % num_kv_heads != 0:
            raise ValueError("num_kv_heads must divide num_heads")
        self.H, self.K = num_heads, num_kv_heads
        self.E = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.E, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.E, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x, kv_cache=None):
        B, L, D = x.shape
        H, K, E = self.H, self.K, self.E
        k = self.k_proj(x).view(B, L, K, E).transpose(1, 2)
        v = self.v_proj(x).view(B, L, K, E).transpose(1, 2)
        if kv_cache is not None:
            k_past, v_past = kv_cache
            k = torch.cat([k_past, k], dim=2)
            v = torch.cat([v, v_past], dim=2)
        S = k.size(2)
        work = torch.promote_types(x.dtype, torch.float32)
        # one row per query of the group: (B * K, G * L, E)
        q = self.q_proj(x).to(work).view(B, L, K, H // K, E).permute(0, 2, 3, 1, 4).reshape(B * K, -1, E)
        scores = torch.bmm(q, k.to(work).reshape(B * K, S, E).transpose(1, 2)) / math.sqrt(D)
        tril = torch.tril(torch.ones(L, S, device=x.device), diagonal=S - L).repeat(H // K, 1)
        scores = scores * tril.to(work)
        out = torch.bmm(scores.softmax(-1), v.to(work).reshape(B * K, S, E))
        out = out.view(B, H, L, E).transpose(1, 2).reshape(B, L, D)
        return self.o_proj(out.to(x.dtype)), (k, v)
