"""A line copied and not changed everywhere."""
# cause: keys-written-as-values

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class KVCache:
    keys: Tensor
    values: Tensor
    length: int


class LlamaAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, rope_base=10000.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be divisible by num_heads")
        if num_heads % num_kv_heads != 0:
            raise ValueError("num_heads must be divisible by num_kv_heads")
        self.n_heads, self.n_kv, self.hd = num_heads, num_kv_heads, d_model // num_heads
        if self.hd % 2 != 0:
            raise ValueError("head_dim must be even")
        self.base = rope_base
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.hd, bias=False)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.hd, bias=False)
        self.o_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, cache):
        if cache.length + x.shape[1] > cache.keys.shape[2]:
            raise ValueError("too many tokens")
        return torch.cat([self.step(x[:, i], cache) for i in range(x.shape[1])], dim=1)

    def step(self, token, cache):
        b, t = token.shape[0], cache.length
        q = self.q_proj(token).reshape(b, self.n_heads, self.hd)
        k = self.k_proj(token).reshape(b, self.n_kv, self.hd)
        v = self.v_proj(token).reshape(b, self.n_kv, self.hd)
        cache.keys[:, :, t] = self.spin(k, t)
        cache.values[:, :, t] = cache.keys[:, :, t]
        cache.length = t + 1
        q = self.spin(q, t).reshape(b, self.n_kv, -1, self.hd)
        att = q @ cache.keys[:, :, : t + 1].transpose(2, 3)
        att = torch.softmax(att / math.sqrt(self.hd), dim=3)
        return self.o_proj((att @ cache.values[:, :, : t + 1]).reshape(b, 1, -1))

    def spin(self, x, t):
        half = self.hd // 2
        theta = [t / self.base ** (2 * i / self.hd) for i in range(half)]
        cos = torch.tensor([math.cos(a) for a in theta], dtype=x.dtype)
        sin = torch.tensor([math.sin(a) for a in theta], dtype=x.dtype)
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
