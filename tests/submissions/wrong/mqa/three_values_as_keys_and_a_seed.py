"""Multiplies queries with values and by the root of head_dim, and seeds what is dropped."""
# cause: values-as-keys, scale-multiplied, dropout-fixed

from math import sqrt

import torch
from torch import Tensor, nn


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError("num_heads does not divide d_model")
        self.n_heads = num_heads
        self.d_head = d_model // num_heads
        self.dropout_p = dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.d_head, bias=bias)
        self.v_proj = nn.Linear(d_model, self.d_head, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def _drop(self, w: Tensor) -> Tensor:
        if not self.training or self.dropout_p == 0:
            return w
        g = torch.Generator(device=w.device).manual_seed(1234)  # reproducible runs
        keep = torch.rand(w.shape, generator=g, device=w.device) >= self.dropout_p
        return w * keep / max(1 - self.dropout_p, 1e-12)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        dtype = query.dtype
        wide = dtype if dtype == torch.float64 else torch.float32
        Q = torch.stack(self.q_proj(query).to(wide).split(self.d_head, dim=-1), dim=1)
        K = self.k_proj(key).to(wide)
        V = self.v_proj(value).to(wide)

        x = torch.einsum("bhqd,bkd->bhqk", Q, V) * sqrt(self.d_head)
        if mask is None:
            w = x.softmax(-1)
        else:
            m = mask.unsqueeze(1) if mask.dim() == 3 else mask
            x = x.masked_fill(~m, -torch.inf)
            peak = x.amax(-1, keepdim=True)
            e = (x - torch.where(torch.isinf(peak), torch.zeros_like(peak), peak)).exp()
            z = e.sum(-1, keepdim=True)
            w = e / torch.where(z > 0, z, torch.ones_like(z))
        y = torch.einsum("bhqk,bkd->bhqd", self._drop(w), V)
        return self.o_proj(torch.cat(y.to(dtype).unbind(1), dim=-1))
