"""squeeze() without a dimension also drops a query, key or batch size of one."""
# cause: none

import math

import torch
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        head_dim, rest = divmod(d_model, num_heads)
        if rest:
            raise ValueError(f"{num_heads} heads do not fit into d_model={d_model}")
        self.num_heads, self.head_dim = num_heads, head_dim
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            self.add_module(name, nn.Linear(d_model, d_model, bias))
        self.drop = nn.Dropout(p=dropout)

    def _mask_of_head(self, mask: Tensor | None, h: int) -> Tensor | None:
        if mask is None or mask.dim() < 4:
            return mask
        return mask.squeeze() if mask.shape[1] == 1 else mask[:, h]

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        scores = torch.bmm(q / math.sqrt(self.head_dim), k.transpose(1, 2))  # (B, L, S)
        if mask is None:
            return torch.bmm(self.drop(scores.softmax(2)), v)
        blocked = ~mask
        weights = scores.masked_fill(blocked, torch.finfo(scores.dtype).min).softmax(2)
        return torch.bmm(self.drop(weights.masked_fill(blocked, 0)), v)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        outs = []
        for h in range(self.num_heads):
            part = slice(h * self.head_dim, (h + 1) * self.head_dim)
            outs.append(self._attend(q[..., part], k[..., part], v[..., part], self._mask_of_head(mask, h)))
        return self.o_proj(torch.cat(outs, dim=-1))
