"""Past and present are averaged with equal shares instead of by their log-sum-exps."""
# cause: none

import math

import torch
from torch import Tensor, nn


def partial_attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None = None) -> tuple[Tensor, Tensor]:
    scores = torch.einsum("bkgle,bkse->bkgls", q, k)
    if seen is not None:
        scores = scores.masked_fill(~seen, -math.inf)
    return torch.einsum("bkgls,bkse->bkgle", scores.softmax(-1), v), scores.logsumexp(-1, keepdim=True)


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model: {d_model}, num_heads: {num_heads}")
        if num_heads % num_kv_heads:
            raise ValueError(f"num_heads: {num_heads}, num_kv_heads: {num_kv_heads}")
        self.K, self.G, self.E = num_kv_heads, num_heads // num_kv_heads, d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.E, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.E, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x: Tensor, kv_cache: tuple[Tensor, Tensor] | None = None):
        B, L, D = x.shape
        wide = torch.promote_types(x.dtype, torch.float32)
        q = self.q_proj(x).view(B, L, self.K, self.G, self.E).permute(0, 2, 3, 1, 4).to(wide) / math.sqrt(self.E)
        k = self.k_proj(x).view(B, L, self.K, self.E).transpose(1, 2)
        v = self.v_proj(x).view(B, L, self.K, self.E).transpose(1, 2)
        seen = torch.ones(L, L, dtype=torch.bool, device=x.device).tril()
        out, lse = partial_attention(q, k.to(wide), v.to(wide), seen)
        if kv_cache is not None and kv_cache[0].size(2) > 0:
            past_k, past_v = kv_cache
            past_out, past_lse = partial_attention(q, past_k.to(wide), past_v.to(wide))
            share = 0.5
            out = share * out + (1 - share) * past_out
            k = torch.cat([past_k, k], dim=2)
            v = torch.cat([past_v, v], dim=2)
        out = out.permute(0, 3, 1, 2, 4).reshape(B, L, D).to(x.dtype)
        return self.o_proj(out), (k, v)
