"""Multiplies the keys with themselves, weighs the queries, and divides the scores by head_dim."""
# cause: keys-as-queries, queries-as-values, scale-head-dim

import torch
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("num_heads must divide d_model")
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self, name, nn.Linear(d_model, d_model, bias))
        self.p = dropout

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        B, L, D = query.shape
        S = key.shape[1]
        H, E = self.num_heads, self.head_dim
        queries = self.q_proj(query).view(B, L, H, E)
        keys = self.k_proj(key).view(B, S, H, E)
        values = self.v_proj(value).view(B, S, H, E)

        hi = torch.promote_types(query.dtype, torch.float32)
        scores = torch.einsum("bihe,bjhe->bhij", keys.to(hi), keys.to(hi)) / E
        if mask is not None:
            # (L, S) -> (1, 1, L, S), (B, L, S) -> (B, 1, L, S)
            m = {2: lambda t: t[None, None], 3: lambda t: t.unsqueeze(1), 4: lambda t: t}[mask.ndim](mask)
            scores = scores.masked_fill(~m, torch.finfo(hi).min)
        weights = scores.softmax(-1)
        if mask is not None:
            weights = weights.masked_fill(~m, 0.0)
        weights = nn.functional.dropout(weights, self.p, self.training)
        mixed = torch.einsum("bhij,bjhe->bihe", weights, queries.to(hi))
        return self.o_proj(mixed.to(query.dtype).reshape(B, L, D))
