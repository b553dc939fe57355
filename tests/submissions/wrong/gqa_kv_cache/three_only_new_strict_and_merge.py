"""The new keys and values alone are handed out, a token does not see itself, and heads are merged untransposed."""
# cause: causal-mask-strict, merge-without-transpose, only-new-handed-out

import math

import torch
from torch import Tensor, nn

KVCache = tuple[Tensor, Tensor]


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads or num_heads % num_kv_heads:
            raise ValueError("indivisible")
        self.K, self.G, self.E = num_kv_heads, num_heads // num_kv_heads, d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.K * self.E, bias=bias)
        self.v_proj = nn.Linear(d_model, self.K * self.E, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x: Tensor, kv_cache: KVCache | None = None) -> tuple[Tensor, KVCache]:
        B, L, D = x.shape
        q = self.q_proj(x).view(B, L, self.K, self.G, self.E)
        k = self.k_proj(x).view(B, L, self.K, self.E).transpose(1, 2)
        v = self.v_proj(x).view(B, L, self.K, self.E).transpose(1, 2)
        new_cache = (k, v)
        past = 0
        if kv_cache is not None:
            past = kv_cache[0].size(2)
            k, v = (torch.cat(pair, dim=2) for pair in zip(kv_cache, (k, v)))
        s = torch.einsum("blkge,bkse->bkgls", q / math.sqrt(self.E), k)
        rows = torch.arange(past, past + L, device=x.device)[:, None]
        cols = torch.arange(past + L, device=x.device)[None, :]
        s = s.masked_fill(~(cols < rows), -math.inf)
        p = s.softmax(-1).nan_to_num(0.0)
        out = torch.einsum("bkgls,bkse->bkgle", p, v)
        return self.o_proj(out.reshape(B, L, D)), new_cache
