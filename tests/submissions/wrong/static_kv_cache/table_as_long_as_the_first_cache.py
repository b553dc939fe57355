"""The table of angles has as many rows as the first cache has slots, and a longer cache finds none behind them."""
# cause: none

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
        self._tables = {}

    def table(self, slots, dtype):
        dtype = torch.float64 if dtype == torch.float64 else torch.float32
        cos, sin = self._tables.get(dtype, (torch.empty(0, 0), torch.empty(0, 0)))
        if not len(cos):
            inv = self.base ** -(torch.arange(0, self.hd, 2, dtype=dtype) / self.hd)
            t = torch.arange(slots, dtype=dtype)
            angles = torch.outer(t, inv)
            cos, sin = self._tables[dtype] = angles.cos(), angles.sin()
        return cos, sin

    def forward(self, x, cache):
        B, L, D = x.shape
        start, end = cache.length, cache.length + L
        if end > cache.keys.size(2):
            raise ValueError(f"position {end - 1} has no slot")
        cos, sin = (t[start:end] for t in self.table(cache.keys.size(2), x.dtype))

        def rope(t):
            a, b = t.chunk(2, -1)
            return torch.cat((a * cos - b * sin, a * sin + b * cos), -1).to(t.dtype)

        q = self.q_proj(x).view(B, L, self.n_heads, self.hd).transpose(1, 2)
        k = self.k_proj(x).view(B, L, self.n_kv, self.hd).transpose(1, 2)
        v = self.v_proj(x).view(B, L, self.n_kv, self.hd).transpose(1, 2)
        at = torch.arange(start, end)
        cache.keys.index_copy_(2, at, rope(k))
        cache.values.index_copy_(2, at, v)
        cache.length = end
        keys, values = cache.keys.narrow(2, 0, end), cache.values.narrow(2, 0, end)
        q = rope(q).reshape(B * self.n_kv, -1, self.hd)
        s = torch.baddbmm(
            torch.zeros(1, dtype=x.dtype), q, keys.flatten(0, 1).mT, beta=0, alpha=1 / math.sqrt(self.hd)
        ).view(B, self.n_heads, L, end)
        s.masked_fill_(torch.arange(end)[None] > at[:, None], float("-inf"))
        o = torch.bmm(s.softmax(-1).view(B * self.n_kv, -1, end), values.flatten(0, 1))
        return self.o_proj(o.view(B, self.n_heads, L, self.hd).transpose(1, 2).reshape(B, L, D))
