"""The queries of a group are rows of one matrix, so that keys and values are not repeated."""

import torch
from torch import Tensor, nn

KVCache = tuple[Tensor, Tensor]


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError("num_heads does not divide d_model")
        if num_heads % num_kv_heads:
            raise ValueError("num_kv_heads does not divide num_heads")
        self.kv_heads = num_kv_heads
        self.group = num_heads // num_kv_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x: Tensor, kv_cache: KVCache | None = None) -> tuple[Tensor, KVCache]:
        B, L, D = x.shape
        K, G, E = self.kv_heads, self.group, self.head_dim
        k = self.k_proj(x).view(B, L, K, E).transpose(1, 2)
        v = self.v_proj(x).view(B, L, K, E).transpose(1, 2)

        q = self.q_proj(x) / E**0.5

        if kv_cache is not None:
            k = torch.cat([kv_cache[0], k], dim=2)
            v = torch.cat([kv_cache[1], v], dim=2)
        S = k.size(2)

        # All queries of a group are rows of one matrix, so that keys and values are never copied.
        rows = q.view(B, L, K, G, E).permute(0, 2, 1, 3, 4).reshape(B, K, L * G, E)
        wide = torch.promote_types(x.dtype, torch.float32)
        scores = rows.to(wide) @ k.to(wide).transpose(2, 3)
        visible = torch.ones(L, S, dtype=torch.bool, device=x.device).tril(S - L)
        scores = scores.masked_fill(~visible.repeat_interleave(G, dim=0), -float("inf"))
        out = scores.softmax(dim=-1).to(v.dtype) @ v  # (B, K, rows, E)
        out = out.view(B, K, L, G, E).permute(0, 2, 1, 3, 4).reshape(B, L, D)
        return self.o_proj(out), (k, v)
