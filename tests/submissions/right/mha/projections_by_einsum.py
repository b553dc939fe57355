"""The projections of the inputs as an einsum with their weights, to which the biases are added."""

import math

import torch
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_out must be divisible by num_heads")
        self.d_out = d_model
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def _project(self, x: Tensor, layer: nn.Linear) -> Tensor:
        out = torch.einsum("bnd,id->bni", x, layer.weight)
        if layer.bias is not None:
            out = out + layer.bias
        b, n, _ = out.shape
        return out.view(b, n, self.num_heads, self.head_dim).transpose(1, 2)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        Q = self._project(query, self.q_proj)
        K = self._project(key, self.k_proj)
        V = self._project(value, self.v_proj)

        scores = torch.einsum("bhnd,bhmd->bhnm", Q / math.sqrt(self.head_dim), K)
        if mask is not None:
            if mask.ndim == 3:
                mask = mask.unsqueeze(1)
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        attn_weights = torch.softmax(scores, dim=-1)
        if mask is not None:
            attn_weights = attn_weights.masked_fill(~mask, 0.0)
        attn_weights = self.dropout(attn_weights)

        context = torch.einsum("bhnm,bhmd->bhnd", attn_weights, V)
        context = context.transpose(1, 2).reshape(query.size(0), query.size(1), self.d_out)
        return self.o_proj(context)
