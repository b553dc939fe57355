"""Only the keys get positions."""
# cause: queries-not-rotated

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

    def forward(self, x, cache, block=4):
        B, L, D = x.shape
        start, end, g = cache.length, cache.length + L, self.n_heads // self.n_kv
        if end > cache.keys.size(2):
            raise ValueError("no room")
        pos = torch.arange(start, end)
        q = self.q_proj(x).view(B, L, self.n_heads, self.hd).transpose(1, 2)
        q = q.reshape(B, self.n_kv, g * L, self.hd)
        cache.keys[:, :, start:end] = self.rope(self.k_proj(x).view(B, L, self.n_kv, self.hd), pos).transpose(1, 2)
        cache.values[:, :, start:end] = self.v_proj(x).view(B, L, self.n_kv, self.hd).transpose(1, 2)
        cache.length = end
        wide = torch.promote_types(x.dtype, torch.float32)
        top = torch.full((B, self.n_kv, g * L, 1), -1e30, dtype=wide)
        total = torch.zeros_like(top)
        acc = torch.zeros(B, self.n_kv, g * L, self.hd, dtype=wide)
        rows = pos.repeat(g)
        for s in range(0, end, block):
            e = min(s + block, end)
            score = (q @ cache.keys[:, :, s:e].mT).to(wide) / math.sqrt(self.hd)
            hidden = torch.arange(s, e) > rows[:, None]
            score = score.masked_fill(hidden, -math.inf)
            new = torch.maximum(top, score.amax(-1, keepdim=True))
            p, shrink = (score - new).exp(), (top - new).exp()
            total = total * shrink + p.sum(-1, keepdim=True)
            acc = acc * shrink + p @ cache.values[:, :, s:e].to(wide)
            top = new
        out = (acc / total).to(x.dtype).view(B, self.n_heads, L, self.hd)
        return self.o_proj(out.transpose(1, 2).reshape(B, L, D))

    def rope(self, x, pos):
        wide = torch.promote_types(x.dtype, torch.float32)
        inv_freq = 1.0 / self.base ** (torch.arange(0, self.hd, 2, dtype=wide) / self.hd)
        ang = (pos.to(wide)[:, None] * inv_freq)[:, None, :]
        x1, x2 = x.split(self.hd // 2, dim=-1)
        return torch.cat((x1 * ang.cos() - x2 * ang.sin(), x2 * ang.cos() + x1 * ang.sin()), dim=-1).to(x.dtype)
