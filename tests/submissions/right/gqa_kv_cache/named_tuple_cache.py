"""The cache is a NamedTuple with a method that returns a longer one."""
# star: none

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class KV(NamedTuple):
    keys: Tensor
    values: Tensor

    @property
    def length(self) -> int:
        return self.keys.size(-2)

    def followed_by(self, other: KV) -> KV:
        return KV(*(torch.cat(pair, dim=-2) for pair in zip(self, other)))


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"num_heads={num_heads} must divide d_model={d_model}")
        if num_heads % num_kv_heads:
            raise ValueError(f"num_kv_heads={num_kv_heads} must divide num_heads={num_heads}")
        self.kv_heads = num_kv_heads
        self.group = num_heads // num_kv_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias)
        self.o_proj = nn.Linear(d_model, d_model, bias)

    def forward(self, x: Tensor, kv_cache: KV | tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, KV]:
        new = KV(
            self.k_proj(x).unflatten(-1, (self.kv_heads, self.head_dim)).transpose(1, 2),
            self.v_proj(x).unflatten(-1, (self.kv_heads, self.head_dim)).transpose(1, 2),
        )
        cache = new if kv_cache is None else KV(*kv_cache).followed_by(new)
        q = self.q_proj(x).unflatten(-1, (self.kv_heads, self.group, self.head_dim)).permute(0, 2, 3, 1, 4)
        q = q * self.head_dim**-0.5
        scores = q @ cache.keys.unsqueeze(2).mT  # (B, K, G, L, S)
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).tril(cache.length - new.length)
        weights = scores.masked_fill(~seen, torch.finfo(scores.dtype).min).softmax(-1)
        out = weights @ cache.values.unsqueeze(2)
        return self.o_proj(out.permute(0, 3, 1, 2, 4).flatten(2)), cache
