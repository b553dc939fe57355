"""A per-head mask is split into (group, kv head) instead of (kv head, group)."""
# cause: mask-groups-in-wrong-order

import math

import torch
from torch import Tensor, nn


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model={d_model} num_heads={num_heads}")
        if num_heads % num_kv_heads:
            raise ValueError(f"num_heads={num_heads} num_kv_heads={num_kv_heads}")
        self.kv_heads = num_kv_heads
        self.group = num_heads // num_kv_heads
        self.head_dim = d_model // num_heads
        kv_width = num_kv_heads * self.head_dim
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, kv_width, bias=bias)
        self.v_proj = nn.Linear(d_model, kv_width, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def _five_dim_mask(self, mask: Tensor) -> Tensor:
        if mask.dim() == 2:
            return mask
        if mask.dim() == 3:
            return mask[:, None, None]
        if mask.size(1) == 1:
            return mask.unsqueeze(1)
        return mask.unflatten(1, (self.group, self.kv_heads)).transpose(1, 2)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        q = self.q_proj(query).unflatten(-1, (self.kv_heads, self.group, self.head_dim)).permute(0, 2, 3, 1, 4)
        k = self.k_proj(key).unflatten(-1, (self.kv_heads, 1, self.head_dim)).permute(0, 2, 3, 1, 4)
        v = self.v_proj(value).unflatten(-1, (self.kv_heads, 1, self.head_dim)).permute(0, 2, 3, 1, 4)
        scores = q.div(math.sqrt(self.head_dim)) @ k.transpose(-1, -2)  # (B, K, G, L, S)
        if mask is not None:
            mask = self._five_dim_mask(mask)
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, -1)
        if mask is not None:
            weights = weights.masked_fill(~mask, 0)
        out = self.dropout(weights) @ v  # (B, K, G, L, E)
        return self.o_proj(out.permute(0, 3, 1, 2, 4).flatten(2))
