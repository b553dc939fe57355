"""Keys and values are projected to as many heads as the queries; the softmax runs over the queries."""
# cause: kv-projections-full-width, softmax-over-queries


import math

import torch
from torch import Tensor, nn


class GroupedQueryAttention(nn.Module):
    """Grouped-query attention: K = H is multi-head attention, K = 1 is multi-query attention.

    Args:
        d_model: D, features of query, key, value and output.
        num_heads: H, query heads; divides d_model.
        num_kv_heads: K, key/value heads; divides num_heads.
        dropout: probability of dropping an attention weight, in training.
        bias: whether the four projections have a bias.

    Raises:
        ValueError: num_heads does not divide d_model, or num_kv_heads does not divide num_heads.

    Source: "GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints", section 2.2.
    """

    def __init__(
        self, d_model: int, num_heads: int, num_kv_heads: int, dropout: float = 0.0, bias: bool = True
    ) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model ({d_model}) must be divisible by num_heads ({num_heads})")
        if num_heads % num_kv_heads:
            raise ValueError(f"num_heads ({num_heads}) must be divisible by num_kv_heads ({num_kv_heads})")
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, D), (B, S, D), (B, S, D), bool mask (L, S) | (B, L, S) | (B, 1 or H, L, S) -> (B, L, D)."""
        query = self._split(self.q_proj(query))  # (B, H, L, E)
        key = self._split(self.k_proj(key))  # (B, K, S, E)
        value = self._split(self.v_proj(value))  # (B, K, S, E)
        (B, H, L, E), (K, S) = query.shape, key.shape[1:3]
        # the heads of a group become rows of one matrix: nothing is copied per query head
        rows = (query / math.sqrt(E)).reshape(B, K, H // K * L, E)  # (B, K, H/K * L, E)
        scores = (rows @ key.transpose(-2, -1)).view(B, H, L, S)  # (B, H, L, S)
        if mask is None:
            weights = scores.softmax(dim=-2)  # (B, H, L, S)
        else:
            mask = mask.unsqueeze(1) if mask.dim() == 3 else mask  # a batch of masks is the same for all heads
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)  # (B, H, L, S)
            weights = scores.softmax(dim=-2).masked_fill(~mask, 0.0)  # (B, H, L, S)
        rows = self.dropout(weights).view(B, K, H // K * L, S)  # (B, K, H/K * L, S)
        output = (rows @ value).view(B, H, L, E)  # (B, H, L, E)
        return self.o_proj(output.transpose(1, 2).flatten(2))  # (B, L, D)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, H or K, L or S, E)
