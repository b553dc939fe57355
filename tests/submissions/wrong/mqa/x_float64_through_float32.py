"""The attention is always computed in float32, also for float64."""
# cause: all-in-float32

from typing import NamedTuple, Optional

import torch
from torch import Tensor, nn


class Config(NamedTuple):
    width: int
    heads: int
    dropout: float
    bias: bool

    @property
    def head_width(self) -> int:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        return self.width // self.heads


def attention(*, q: Tensor, k: Tensor, v: Tensor, mask: Optional[Tensor], drop: nn.Module) -> Tensor:
    compute = torch.float32
    logits = q.to(compute) @ k.to(compute).transpose(-1, -2) / q.shape[-1] ** 0.5
    if mask is not None:
        logits = torch.where(mask, logits, torch.finfo(compute).min)
    probs = torch.softmax(logits, dim=-1)
    if mask is not None:
        probs = torch.where(mask, probs, torch.zeros((), dtype=compute))
    return (drop(probs) @ v.to(compute)).to(q.dtype)


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        self.config = c = Config(d_model, num_heads, dropout, bias)
        self.q_proj = nn.Linear(c.width, c.width, bias=c.bias)
        self.k_proj = nn.Linear(c.width, c.head_width, bias=c.bias)
        self.v_proj = nn.Linear(c.width, c.head_width, bias=c.bias)
        self.o_proj = nn.Linear(c.width, c.width, bias=c.bias)
        self.weight_dropout = nn.Dropout(c.dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        c = self.config
        (b, l), s = query.shape[:2], key.shape[1]
        q = self.q_proj(query).view(b, l, c.heads, c.head_width).transpose(1, 2)
        k = self.k_proj(key)[:, None].expand(b, c.heads, s, c.head_width)
        v = self.v_proj(value)[:, None].expand(b, c.heads, s, c.head_width)
        if mask is not None and mask.ndim == 3:
            mask = mask[:, None]
        heads = attention(q=q, k=k, v=v, mask=mask, drop=self.weight_dropout)
        return self.o_proj(heads.transpose(1, 2).contiguous().view(b, l, c.width))
