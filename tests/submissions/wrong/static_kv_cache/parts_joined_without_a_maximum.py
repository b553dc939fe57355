"""Several tokens after written slots join old and new with sums of exponentials that overflow."""
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

    def rope(self, x, offset):
        dt = torch.double if x.dtype == torch.double else torch.float
        d = self.hd
        i = torch.arange(d // 2, dtype=dt)
        m = torch.arange(x.size(2), dtype=dt) + offset
        theta = m.view(-1, 1) * torch.pow(torch.tensor(self.base, dtype=dt), -2 * i / d)
        theta = torch.cat([theta, theta], dim=1)
        turned = torch.cat([-x[..., d // 2 :], x[..., : d // 2]], dim=-1)
        return (x * theta.cos() + turned * theta.sin()).to(x.dtype)

    def forward(self, x, cache):
        B, L, D = x.shape
        past = cache.length
        if past + L > cache.values.size(2):
            raise ValueError("the cache has no room")
        heads = lambda t: t.reshape(B, L, -1, self.hd).permute(0, 2, 1, 3)
        q, k, v = self.rope(heads(self.q_proj(x)), past), self.rope(heads(self.k_proj(x)), past), heads(self.v_proj(x))
        q = q.reshape(B, self.n_kv, -1, self.hd) / math.sqrt(self.hd)
        old = q @ cache.keys[:, :, :past].transpose(2, 3)
        new = q @ k.transpose(2, 3)
        later = torch.ones(L, L).triu(1).bool().repeat(self.n_heads // self.n_kv, 1)
        new = new.masked_fill(later, -torch.inf)
        if past and L > 1:
            a, b = (part.double().exp().sum(-1, keepdim=True) for part in (old, new))
            share = (a / (a + b)).to(x.dtype)
            w = torch.cat([share * old.softmax(-1), (1 - share) * new.softmax(-1)], dim=-1)
        else:
            w = torch.cat([old, new], dim=-1).softmax(-1)
        out = w[..., :past] @ cache.values[:, :, :past] + w[..., past:] @ v
        cache.keys[:, :, past : past + L] = k
        cache.values[:, :, past : past + L] = v
        cache.length = past + L
        return self.o_proj(out.reshape(B, self.n_heads, L, self.hd).transpose(1, 2).reshape(B, L, D))
