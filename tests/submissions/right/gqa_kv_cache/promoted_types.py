"""The types are promoted, so that half precision is worked out in float32."""
# star: none

import math
import torch
from torch import nn
import torch.nn.functional as F

class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, bias=True):
        super().__init__()
        if d_model % num_heads or num_heads % num_kv_heads:
            raise ValueError("sizes do not divide")
        self.H, self.K, self.E = num_heads, num_kv_heads, d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.E, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.E, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x, kv_cache=None):
        B, L, D = x.shape
        q = self.q_proj(x).view(B, L, self.H, self.E).transpose(1, 2)
        k = self.k_proj(x).view(B, L, self.K, self.E).transpose(1, 2)
        v = self.v_proj(x).view(B, L, self.K, self.E).transpose(1, 2)
        past = 0
        if kv_cache is not None:
            past = kv_cache[0].shape[2]
            k = torch.cat([kv_cache[0], k], dim=2)
            v = torch.cat([kv_cache[1], v], dim=2)
        new_cache = (k, v)
        kk = k.repeat_interleave(self.H // self.K, dim=1)
        vv = v.repeat_interleave(self.H // self.K, dim=1)
        ct = torch.promote_types(x.dtype, torch.float32)
        scores = q.to(ct) @ kk.to(ct).transpose(-1, -2) / math.sqrt(self.E)
        S = past + L
        allowed = torch.arange(S)[None, :] <= torch.arange(past, S)[:, None]
        scores = scores.masked_fill(~allowed, float("-inf"))
        w = torch.softmax(scores, dim=-1)
        out = (w @ vv.to(ct)).to(x.dtype)
        out = out.transpose(1, 2).reshape(B, L, D)
        return self.o_proj(out), new_cache
