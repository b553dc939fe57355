"""The row of a query without keys is zeroed after o_proj and loses its bias."""
# cause: empty-row-without-bias

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Sizes:
    d_model: int
    num_heads: int

    def __post_init__(self) -> None:
        if self.d_model % self.num_heads:
            raise ValueError(f"cannot split {self.d_model} features into {self.num_heads} heads")

    @property
    def head_dim(self) -> int:
        return self.d_model // self.num_heads


class _AttentionBase(nn.Module):
    sizes: Sizes

    def __init__(self, *, sizes: Sizes, dropout: float, bias: bool) -> None:
        super().__init__()
        self.sizes = sizes
        make = lambda: nn.Linear(sizes.d_model, sizes.d_model, bias=bias)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = make(), make(), make(), make()
        self.weight_dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()

    @property
    def scale(self) -> float:
        return 1.0 / math.sqrt(self.sizes.head_dim)

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.sizes.num_heads, self.sizes.head_dim)).movedim(2, 1)

    @staticmethod
    def merge(x: Tensor) -> Tensor:
        return x.movedim(1, 2).flatten(start_dim=2)

    @staticmethod
    def four_dim(mask: Tensor) -> Tensor:
        while mask.dim() < 4:
            mask = mask.unsqueeze(-3)
        return mask

    def attention(self, q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None) -> Tensor:
        scores = torch.matmul(q * self.scale, k.transpose(-1, -2))
        if mask is None:
            return self.weight_dropout(scores.softmax(-1)) @ v
        blocked = self.four_dim(mask).logical_not()
        empty = blocked.all(dim=-1, keepdim=True)
        # empty rows are opened for the softmax and closed again after it
        weights = scores.masked_fill(blocked & ~empty, -math.inf).softmax(-1)
        return self.weight_dropout(weights.masked_fill(empty, 0.0)) @ v


class MultiHeadAttention(_AttentionBase):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__(sizes=Sizes(d_model, num_heads), dropout=dropout, bias=bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = map(self.split, (self.q_proj(query), self.k_proj(key), self.v_proj(value)))
        out = self.o_proj(self.merge(self.attention(q, k, v, mask=mask)))
        if mask is not None:
            alive = self.four_dim(mask).any(dim=-1).any(dim=1)  # (B or 1, L)
            out = out * alive.unsqueeze(-1)
        return out
