"""Positions begin at one."""
# cause: positions-one-too-many

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

    def rope(self, x, pos):
        dt = torch.promote_types(x.dtype, torch.float32)
        half = x.shape[-1] // 2
        freq = self.base ** (-torch.arange(half, dtype=dt) / half)
        ang = torch.einsum("l,f->lf", pos.to(dt) + 1, freq)
        lo, hi = x[..., :half], x[..., half:]
        out = torch.cat([lo * ang.cos() - hi * ang.sin(), hi * ang.cos() + lo * ang.sin()], -1)
        return out.to(x.dtype)

    def forward(self, x, cache):
        b, l, _ = x.shape
        p = cache.length
        if p + l > cache.keys.shape[2]:
            raise ValueError("cache is full")
        pos = torch.arange(p, p + l)
        g = self.n_heads // self.n_kv
        q = self.rope(self.q_proj(x).view(b, l, self.n_heads, self.hd).transpose(1, 2), pos)
        k = self.rope(self.k_proj(x).view(b, l, self.n_kv, self.hd).transpose(1, 2), pos)
        v = self.v_proj(x).view(b, l, self.n_kv, self.hd).transpose(1, 2)
        cache.keys[:, :, pos] = k
        cache.values[:, :, pos] = v
        cache.length += l
        q = q.reshape(b, self.n_kv, g, l, self.hd)
        keys, values = cache.keys[:, :, : p + l], cache.values[:, :, : p + l]
        s = torch.einsum("bkgle,bkse->bkgls", q, keys) / self.hd**0.5
        seen = torch.arange(p + l) <= pos[:, None]
        w = s.masked_fill(~seen, float("-inf")).softmax(-1)
        o = torch.einsum("bkgls,bkse->blkge", w, values)
        return self.o_proj(o.reshape(b, l, -1))
