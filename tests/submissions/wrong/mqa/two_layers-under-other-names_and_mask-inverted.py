"""The layers are called W_q, W_k, W_v and W_o; True in the mask hides a key."""
# cause: layers-under-other-names, mask-inverted


import math

import torch
from torch import Tensor, nn


class MultiQueryAttention(nn.Module):
    """Multi-query attention: grouped-query attention with one key/value head.

    Args:
        d_model: D, features of query, key, value and output.
        num_heads: H, query heads; divides d_model.
        dropout: probability of dropping an attention weight, in training.
        bias: whether the four projections have a bias.

    Raises:
        ValueError: num_heads does not divide d_model.

    Source: "Fast Transformer Decoding: One Write-Head is All You Need", section 3.
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model ({d_model}) must be divisible by num_heads ({num_heads})")
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        self.W_q = nn.Linear(d_model, d_model, bias=bias)
        self.W_k = nn.Linear(d_model, self.head_dim, bias=bias)
        self.W_v = nn.Linear(d_model, self.head_dim, bias=bias)
        self.W_o = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, D), (B, S, D), (B, S, D), bool mask (L, S) | (B, L, S) | (B, 1 or H, L, S) -> (B, L, D)."""
        query = self.W_q(query).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)  # (B, H, L, E)
        key = self.W_k(key)  # (B, S, E)
        value = self.W_v(value)  # (B, S, E)
        (B, H, L, E), S = query.shape, key.size(1)
        # the heads become rows of one matrix: the one key/value head is copied for none of them
        rows = (query / math.sqrt(E)).reshape(B, H * L, E)  # (B, H * L, E)
        scores = (rows @ key.transpose(-2, -1)).view(B, H, L, S)  # (B, H, L, S)
        if mask is None:
            weights = scores.softmax(dim=-1)  # (B, H, L, S)
        else:
            mask = mask.unsqueeze(1) if mask.dim() == 3 else mask  # a batch of masks is the same for all heads
            scores = scores.masked_fill(mask, torch.finfo(scores.dtype).min)  # (B, H, L, S)
            weights = scores.softmax(dim=-1).masked_fill(mask, 0.0)  # (B, H, L, S)
        output = (self.dropout(weights).view(B, H * L, S) @ value).view(B, H, L, E)  # (B, H, L, E)
        return self.W_o(output.transpose(1, 2).flatten(2))  # (B, L, D)
