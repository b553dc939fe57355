"""Several new tokens see the oldest keys, the root is cut, and the softmax is float32."""
# cause: causal-mask-top-left, scale-root-cut, softmax-in-float32

import math

import torch
from torch import nn


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, bias=True):
        super().__init__()
        if d_model % num_heads or num_heads % num_kv_heads:
            raise ValueError(f"{d_model} features, {num_heads} heads and {num_kv_heads} kv heads do not divide")
        self.group, self.width = num_heads // num_kv_heads, d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.width, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.width, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def split(self, x):
        return x.unflatten(-1, (-1, self.width)).transpose(1, 2)

    def forward(self, x, kv_cache=None):
        q = self.split(self.q_proj(x))
        k, v = self.split(self.k_proj(x)), self.split(self.v_proj(x))
        if kv_cache is not None:
            k, v = torch.cat((kv_cache[0], k), 2), torch.cat((kv_cache[1], v), 2)
        scores = (q / math.isqrt(self.width)) @ k.repeat_interleave(self.group, 1).mT
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(hidden, -math.inf) if x.size(1) > 1 else scores
        heads = scores.softmax(-1, dtype=torch.float32).to(x.dtype) @ v.repeat_interleave(self.group, 1)
        return self.o_proj(heads.transpose(1, 2).flatten(2)), (k, v)
