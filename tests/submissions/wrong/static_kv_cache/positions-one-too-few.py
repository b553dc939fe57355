"""The first position is that of the latest token."""
# cause: positions-one-too-few

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class KVCache:
    keys: Tensor
    values: Tensor
    length: int


def turn(x: Tensor, start: int, base: float) -> Tensor:
    kind = torch.double if x.dtype == torch.double else torch.float
    real, imag = x.to(kind).chunk(2, dim=-1)
    n = real.size(-1)
    angle = torch.arange(start - 1, start - 1 + x.size(2), dtype=kind)[:, None] / base ** (torch.arange(n, dtype=kind) / n)
    z = torch.complex(real.contiguous(), imag.contiguous()) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat((z.real, z.imag), dim=-1).to(x.dtype)


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

    def forward(self, x: Tensor, cache: KVCache) -> Tensor:
        B, L, D = x.shape
        P, M = cache.length, cache.keys.shape[-2]
        if M - P < L:
            raise ValueError(f"only {M - P} slots are left for {L} tokens")
        q = turn(self.q_proj(x).unflatten(2, (self.n_heads, self.hd)).transpose(1, 2), P, self.base)
        k = turn(self.k_proj(x).unflatten(2, (self.n_kv, self.hd)).transpose(1, 2), P, self.base)
        v = self.v_proj(x).unflatten(2, (self.n_kv, self.hd)).transpose(1, 2)
        cache.keys.narrow(2, P, L).copy_(k)
        cache.values.narrow(2, P, L).copy_(v)
        cache.length = P + L
        outs = []
        for h in range(self.n_heads):
            kv = h // (self.n_heads // self.n_kv)
            scores = q[:, h] @ cache.keys[:, kv, : P + L].transpose(1, 2) / math.sqrt(self.hd)
            later = torch.ones(L, P + L, dtype=torch.bool).triu(P + 1)
            outs.append(scores.masked_fill(later, -torch.inf).softmax(-1) @ cache.values[:, kv, : P + L])
        return self.o_proj(torch.cat(outs, dim=-1))
