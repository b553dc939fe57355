"""All the weights of a head are dropped together, by nn.Dropout2d."""
# cause: dropout-of-whole-heads

import math

import torch
from torch import Tensor, nn


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
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        query = self.q_proj(query).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)  # (B, H, L, E)
        key = self.k_proj(key)  # (B, S, E)
        value = self.v_proj(value)  # (B, S, E)
        (B, H, L, E), S = query.shape, key.size(1)
        # the heads become rows of one matrix: the one key/value head is copied for none of them
        rows = (query / math.sqrt(E)).reshape(B, H * L, E)  # (B, H * L, E)
        scores = (rows @ key.transpose(-2, -1)).view(B, H, L, S)  # (B, H, L, S)
        if mask is None:
            weights = scores.softmax(dim=-1)  # (B, H, L, S)
        else:
            mask = mask.unsqueeze(1) if mask.dim() == 3 else mask  # a batch of masks is the same for all heads
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)  # (B, H, L, S)
            weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)  # (B, H, L, S)
        output = (self.dropout(weights).view(B, H * L, S) @ value).view(B, H, L, E)  # (B, H, L, E)
        return self.o_proj(output.transpose(1, 2).flatten(2))  # (B, L, D)
