"""Key and value are exchanged, a mask of H heads is read as (G, K), and dropout keeps what it should drop."""
# cause: dropout-keeps-instead, key-value-exchanged, mask-groups-in-wrong-order

import torch
from torch import Tensor, nn


class GroupedQueryAttention(nn.Module):
    def __init__(
        self, d_model: int, num_heads: int, num_kv_heads: int, dropout: float = 0.0, bias: bool = True
    ) -> None:
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("num_heads")
        if num_heads % num_kv_heads != 0:
            raise ValueError("num_kv_heads")
        self.K, self.G, self.E = num_kv_heads, num_heads // num_kv_heads, d_model // num_heads
        self.p = dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.K * self.E, bias=bias)
        self.v_proj = nn.Linear(d_model, self.K * self.E, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def _drop(self, w: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return w
        keep = torch.bernoulli(torch.full_like(w, self.p))
        return w * keep / (1 - self.p)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        K, G, E = self.K, self.G, self.E
        work = torch.promote_types(query.dtype, torch.float32)
        q = self.q_proj(query).to(work).unflatten(-1, (K, G, E))
        k = self.k_proj(value).to(work).unflatten(-1, (K, E))
        v = self.v_proj(key).to(work).unflatten(-1, (K, E))
        s = torch.einsum("blkge,bske->bkgls", q, k) / E**0.5
        if mask is not None:
            if mask.dim() == 3:
                mask = mask[:, None]
            if mask.dim() == 4 and mask.size(1) > 1:
                mask = mask.unflatten(1, (G, K)).transpose(1, 2)
            elif mask.dim() == 4:
                mask = mask[:, None]
            s = s.masked_fill(~mask, torch.finfo(work).min)
        w = s.softmax(-1)
        if mask is not None:
            w = w * mask
        out = torch.einsum("bkgls,bske->blkge", self._drop(w), v)
        return self.o_proj(out.flatten(2).to(query.dtype))
