"""The projected queries, keys and values go through a ReLU."""
# cause: relu-on-projections

import math

import torch
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model ({d_model}) must be divisible by num_heads ({num_heads})")
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        query = self._split(self.q_proj(query).relu())  # (B, H, L, E)
        key = self._split(self.k_proj(key).relu())  # (B, H, S, E)
        value = self._split(self.v_proj(value).relu())  # (B, H, S, E)
        scores = (query / math.sqrt(self.head_dim)) @ key.transpose(-2, -1)  # (B, H, L, S)
        if mask is None:
            weights = scores.softmax(dim=-1)  # (B, H, L, S)
        else:
            mask = mask.unsqueeze(1) if mask.dim() == 3 else mask  # a batch of masks is the same for all heads
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)  # (B, H, L, S)
            weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)  # (B, H, L, S)
        output = self.dropout(weights) @ value  # (B, H, L, E)
        return self.o_proj(output.transpose(1, 2).flatten(2))  # (B, L, D)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)  # (B, H, L, E)
