"""Scores are (B, L, H, S), and so each kind of mask gets its dimension for the heads behind the queries."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.dropout = nn.Dropout(dropout)
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.normalize_fact = float(d_model / num_heads) ** -0.5

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        qh = self.q_proj(query).unflatten(-1, (self.num_heads, -1))
        kh = self.k_proj(key).unflatten(-1, (self.num_heads, -1))
        vh = self.v_proj(value).unflatten(-1, (self.num_heads, -1))

        weights = torch.einsum("bqnc,bknc->bqnk", qh * self.normalize_fact, kh)

        if mask is not None:
            if mask.dim() == 2:
                allowed = mask[None, :, None, :]
            elif mask.dim() == 3:
                allowed = mask[:, :, None, :]
            else:
                allowed = mask.transpose(1, 2)
            weights = weights.masked_fill(~allowed, torch.finfo(weights.dtype).min)

        weights = F.softmax(weights, dim=-1)

        if mask is not None:
            weights = weights.masked_fill(~allowed, 0.0)
        weights = self.dropout(weights)

        mixed = torch.einsum("bqnk,bknc->bqnc", weights, vh)
        return self.o_proj(mixed.flatten(2))
