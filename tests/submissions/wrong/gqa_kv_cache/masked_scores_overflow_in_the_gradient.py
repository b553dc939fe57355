"""Later tokens are exponentiated too and dropped afterwards: where their scores are huge, the gradient is NaN."""
# cause: hidden-exponentials

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
        scores = (q / math.sqrt(self.width)) @ k.repeat_interleave(self.group, 1).mT
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(k.size(2) - x.size(1) + 1)
        top = scores.masked_fill(hidden, -math.inf).amax(-1, keepdim=True).detach()
        e = torch.where(hidden, 0.0, torch.exp(scores - top))
        heads = (e / e.sum(-1, keepdim=True)) @ v.repeat_interleave(self.group, 1)
        return self.o_proj(heads.transpose(1, 2).flatten(2)), (k, v)
