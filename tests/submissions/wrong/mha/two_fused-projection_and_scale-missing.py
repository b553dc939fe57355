"""One layer projects query, key and value; the scores are not scaled."""
# cause: fused-projection, scale-missing


import math

import torch
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    """Multi-head attention.

    Args:
        d_model: D, features of query, key, value and output.
        num_heads: H, divides d_model.
        dropout: probability of dropping an attention weight, in training.
        bias: whether the four projections have a bias.

    Raises:
        ValueError: num_heads does not divide d_model.

    Source: "Attention Is All You Need", section 3.2.2.
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model ({d_model}) must be divisible by num_heads ({num_heads})")
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        self.in_proj = nn.Linear(d_model, 3 * d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, D), (B, S, D), (B, S, D), bool mask (L, S) | (B, L, S) | (B, 1 or H, L, S) -> (B, L, D)."""
        query = self._split(self.in_proj(query).chunk(3, dim=-1)[0])  # (B, H, L, E)
        key = self._split(self.in_proj(key).chunk(3, dim=-1)[1])  # (B, H, S, E)
        value = self._split(self.in_proj(value).chunk(3, dim=-1)[2])  # (B, H, S, E)
        scores = query @ key.transpose(-2, -1)  # (B, H, L, S)
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
