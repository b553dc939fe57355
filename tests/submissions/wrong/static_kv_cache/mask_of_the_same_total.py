"""The causal mask of the last call is used again where P + L is the same, whatever L is."""
# cause: none

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class KVCache:
    keys: Tensor  # (B, K, M, E), rotated
    values: Tensor  # (B, K, M, E)
    length: int  # P: slots 0 ... P - 1 are written


class LlamaAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, rope_base: float = 10000.0) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model ({d_model}) must be divisible by num_heads ({num_heads})")
        if num_heads % num_kv_heads:
            raise ValueError(f"num_heads ({num_heads}) must be divisible by num_kv_heads ({num_kv_heads})")
        self.head_dim, self.rope_base = d_model // num_heads, rope_base
        if self.head_dim % 2:
            raise ValueError(f"head_dim ({self.head_dim}) must be even: its features are rotated in pairs")
        self.mask = None
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x: Tensor, cache: KVCache) -> Tensor:
        start, end = cache.length, cache.length + x.size(1)
        if end > cache.keys.size(2):  # before anything is written
            raise ValueError(f"{end} tokens do not fit into a cache of {cache.keys.size(2)} slots")
        query = self._rotate(self._split(self.q_proj(x)), start)  # (B, H, L, E)
        cache.keys[:, :, start:end] = self._rotate(self._split(self.k_proj(x)), start)  # (B, K, L, E)
        cache.values[:, :, start:end] = self._split(self.v_proj(x))  # (B, K, L, E)
        cache.length = end
        key, value = cache.keys[:, :, :end], cache.values[:, :, :end]  # (B, K, S, E), views: nothing is copied
        (B, H, L, E), (K, S) = query.shape, key.shape[1:3]
        rows = (query / math.sqrt(E)).reshape(B, K, H // K * L, E)  # (B, K, H/K * L, E)
        scores = (rows @ key.transpose(-2, -1)).view(B, H, L, S)  # (B, H, L, S)
        if L > 1:
            if self.mask is None or self.mask.size(1) != S:
                self.mask = torch.ones(L, S, dtype=torch.bool, device=x.device).tril(diagonal=start)  # (L, S)
            scores = scores.masked_fill(~self.mask, -math.inf)
        weights = scores.softmax(dim=-1)  # (B, H, L, S)
        output = (weights.view(B, K, H // K * L, S) @ value).view(B, H, L, E)  # (B, H, L, E)
        return self.o_proj(output.transpose(1, 2).flatten(2))  # (B, L, D)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, H or K, L, E)

    def _rotate(self, x: Tensor, start: int) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)  # bfloat16 has no positions above 256 one by one
        pairs = torch.arange(0, self.head_dim, 2, device=x.device, dtype=dtype)  # (E/2)
        positions = torch.arange(start, start + x.size(-2), device=x.device, dtype=dtype)  # (L)
        angles = torch.outer(positions, self.rope_base ** (-pairs / self.head_dim))  # (L, E/2)
        a, b = x.chunk(2, dim=-1)  # (B, H or K, L, E/2) twice
        turned = torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], dim=-1)
        return turned.to(x.dtype)  # (B, H or K, L, E)
