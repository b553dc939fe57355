"""The module counts the tokens on self, and the causal mask goes by that count."""
# cause: past-length-on-self

import math

import torch
from torch import Tensor, nn

KVCache = tuple[Tensor, Tensor]


class CachedGroupedQueryAttention(nn.Module):

    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model ({d_model}) must be divisible by num_heads ({num_heads})")
        if num_heads % num_kv_heads:
            raise ValueError(f"num_heads ({num_heads}) must be divisible by num_kv_heads ({num_kv_heads})")
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.past = 0

    def forward(self, x: Tensor, kv_cache: KVCache | None = None) -> tuple[Tensor, KVCache]:
        query = self._split(self.q_proj(x))  # (B, H, L, E)
        key = self._split(self.k_proj(x))  # (B, K, L, E)
        value = self._split(self.v_proj(x))  # (B, K, L, E)
        if kv_cache is None:
            self.past = 0
        else:
            key = torch.cat([kv_cache[0], key], dim=2)  # (B, K, S, E)
            value = torch.cat([kv_cache[1], value], dim=2)  # (B, K, S, E)
        (B, H, L, E), (K, S) = query.shape, key.shape[1:3]
        rows = (query / math.sqrt(E)).reshape(B, K, H // K * L, E)  # (B, K, H/K * L, E)
        # key first: where the rows are few, as in decoding, it is twice as fast as rows @ key^T
        scores = (key @ rows.transpose(-2, -1)).transpose(-2, -1).reshape(B, H, L, S)  # (B, H, L, S)
        # bottom-right: the new tokens are the last L of the S positions
        mask = torch.ones(L, S, dtype=torch.bool, device=x.device).tril(diagonal=self.past)  # (L, S)
        self.past += L
        weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)  # (B, H, L, S)
        output = (weights.view(B, K, H // K * L, S) @ value).view(B, H, L, E)  # (B, H, L, E)
        return self.o_proj(output.transpose(1, 2).flatten(2)), (key, value)  # (B, L, D)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, H or K, L, E)
