"""A hand-written safe softmax as its own module, a registered -inf-free path, type hints everywhere."""
# star: none

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class MaskedSoftmax(nn.Module):
    """exp(x - max) over the allowed places, zeros in a row that has none."""

    def forward(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            e = (scores - scores.amax(dim=-1, keepdim=True)).exp()
            return e / e.sum(dim=-1, keepdim=True)
        lowest = torch.finfo(scores.dtype).min
        peak = scores.masked_fill(~mask, lowest).amax(dim=-1, keepdim=True)
        shifted = (scores - peak).masked_fill(~mask, 0.0)  # no large number survives behind the mask
        e = shifted.exp() * mask
        total = e.sum(dim=-1, keepdim=True)
        return e / (total + (total == 0))


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model ({d_model}) must be divisible by num_heads ({num_heads})")
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.softmax = MaskedSoftmax()
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        q: Tensor = torch.stack(self.q_proj(query).chunk(self.num_heads, dim=-1), dim=1)  # (B, H, L, E)
        k: Tensor = self.k_proj(key).unsqueeze(1)
        v: Tensor = self.v_proj(value).unsqueeze(1)
        root = math.sqrt(math.sqrt(self.head_dim))
        scores: Tensor = torch.matmul(q / root, (k / root).transpose(2, 3))
        if mask is not None and mask.dim() == 3:
            mask = mask.unsqueeze(1)
        weights = self.softmax(scores, mask)
        heads = torch.matmul(self.dropout(weights), v)
        return self.o_proj(torch.cat([heads[:, h] for h in range(self.num_heads)], dim=-1))
