"""Query head h reads head h mod K."""
# cause: kv-heads-tiled

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
        b, n, d = x.shape
        h, g, e = self.n_heads, self.n_kv, self.hd
        p = cache.length
        if p + n > cache.keys.shape[2]:
            raise ValueError("full")
        q = self.q_proj(x).view(b, n, h, e)
        k = self.k_proj(x).view(b, n, g, e)
        v = self.v_proj(x).view(b, n, g, e)
        t = torch.float64 if x.dtype is torch.float64 else torch.float32
        f = torch.exp(-math.log(self.base) * torch.arange(0, e, 2, dtype=t) / e)
        a = torch.arange(p, p + n, dtype=t)[:, None] * f
        c, s = torch.cos(a)[None, :, None], torch.sin(a)[None, :, None]
        q = torch.cat([q[..., : e // 2] * c - q[..., e // 2 :] * s, q[..., e // 2 :] * c + q[..., : e // 2] * s], -1)
        k = torch.cat([k[..., : e // 2] * c - k[..., e // 2 :] * s, k[..., e // 2 :] * c + k[..., : e // 2] * s], -1)
        q, k = q.to(x.dtype), k.to(x.dtype)
        cache.keys[:, :, p : p + n] = k.transpose(1, 2)
        cache.values[:, :, p : p + n] = v.transpose(1, 2)
        cache.length = p + n
        i = torch.arange(h) % g
        w = torch.einsum("bnhe,bhme->bhnm", q, cache.keys[:, i, : p + n]) / math.sqrt(e)
        w = w + torch.full((n, p + n), float("-inf"), dtype=x.dtype).triu(p + 1)
        y = torch.einsum("bhnm,bhme->bnhe", w.softmax(3), cache.values[:, i, : p + n])
        return self.o_proj(y.reshape(b, n, d))
