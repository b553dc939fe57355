"""Every mask that has not four dimensions gets a dimension for the heads; the root of head_dim is a float32 tensor."""
# cause: mask-unsqueezed-unless-four, root-in-float32

import math

import torch
from torch import Tensor, nn


class GroupedQueryAttention(nn.Module):

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
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        query = self._split(self.q_proj(query))  # (B, H, L, E)
        key = self._split(self.k_proj(key))  # (B, K, S, E)
        value = self._split(self.v_proj(value))  # (B, K, S, E)
        (B, H, L, E), (K, S) = query.shape, key.shape[1:3]
        # the heads of a group become rows of one matrix: nothing is copied per query head
        rows = (query / torch.sqrt(torch.tensor(float(E)))).reshape(B, K, H // K * L, E)  # (B, K, H/K * L, E)
        scores = (rows @ key.transpose(-2, -1)).view(B, H, L, S)  # (B, H, L, S)
        if mask is None:
            weights = scores.softmax(dim=-1)  # (B, H, L, S)
        else:
            mask = mask.unsqueeze(1) if mask.dim() != 4 else mask  # a batch of masks is the same for all heads
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)  # (B, H, L, S)
            weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)  # (B, H, L, S)
        rows = self.dropout(weights).view(B, K, H // K * L, S)  # (B, K, H/K * L, S)
        output = (rows @ value).view(B, H, L, E)  # (B, H, L, E)
        return self.o_proj(output.transpose(1, 2).flatten(2))  # (B, L, D)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, H or K, L or S, E)
