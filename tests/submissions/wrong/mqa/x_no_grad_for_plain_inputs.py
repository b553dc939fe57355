"""Where no input wants a gradient, the parameters get none either."""
# cause: gradient-cut

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be divisible by num_heads")
        self.H, self.E = num_heads, d_model // num_heads
        self.p = dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.E, bias=bias)
        self.v_proj = nn.Linear(d_model, self.E, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        B, L, D = query.shape
        S = key.shape[1]
        H, E = self.H, self.E
        if torch.is_grad_enabled() and not query.requires_grad:
            with torch.no_grad():
                return self.forward(query, key, value, mask)
        q = self.q_proj(query).view(B, L, H, E).transpose(1, 2)
        k = self.k_proj(key)[:, None]
        v = self.v_proj(value)[:, None]
        s = (q / math.sqrt(E)) @ k.transpose(-2, -1)
        if mask is not None:
            if mask.dim() == 3:
                mask = mask[:, None]
            s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
        w = s.softmax(dim=-1)
        if mask is not None:
            w = w.masked_fill(~mask, 0.0)
        w = F.dropout(w, self.p, self.training)
        o = w @ v
        y = self.o_proj(o.transpose(1, 2).reshape(B, L, D))
        return y
