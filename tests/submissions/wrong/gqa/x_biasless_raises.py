"""The projection reads layer.bias without asking whether there is one."""
# cause: none

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class Config:
    d_model: int
    heads: int
    kv_heads: int

    def check(self):
        if self.d_model % self.heads != 0:
            raise ValueError(f"heads={self.heads} does not divide d_model={self.d_model}")
        if self.heads % self.kv_heads != 0:
            raise ValueError(f"kv_heads={self.kv_heads} does not divide heads={self.heads}")
        return self


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, dropout=0.0, bias=True):
        super().__init__()
        self.cfg = cfg = Config(d_model, num_heads, num_kv_heads).check()
        e = d_model // cfg.heads
        self.q_proj = nn.Linear(d_model, cfg.heads * e, bias=bias)
        self.k_proj = nn.Linear(d_model, cfg.kv_heads * e, bias=bias)
        self.v_proj = nn.Linear(d_model, cfg.kv_heads * e, bias=bias)
        self.o_proj = nn.Linear(cfg.heads * e, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def _project(self, x: Tensor, layer: nn.Linear, groups: int) -> Tensor:
        w = layer.weight.unflatten(0, (self.cfg.kv_heads, groups, -1))
        y = torch.einsum("b n d, k g e d -> b k g n e", x, w)
        return y + layer.bias.unflatten(0, (self.cfg.kv_heads, groups, -1)).unsqueeze(2)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        g = self.cfg.heads // self.cfg.kv_heads
        q = self._project(query, self.q_proj, g)
        k = self._project(key, self.k_proj, 1).squeeze(2)
        v = self._project(value, self.v_proj, 1).squeeze(2)
        logits = torch.einsum("bkgle,bkse->bkgls", q * q.size(-1) ** -0.5, k)
        if mask is not None:
            if mask.dim() == 3:
                mask = mask[:, None, None]
            elif mask.dim() == 4:
                b, h, l, s = mask.shape
                mask = mask[:, :, None] if h == 1 else mask.reshape(b, -1, g, l, s)
            logits = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
        logits = logits - logits.amax(-1, keepdim=True).detach()
        weights = (logits - logits.logsumexp(-1, keepdim=True)).exp()
        if mask is not None:
            weights = weights.masked_fill(~mask, 0.0)
        out = torch.einsum("bkgls,bkse->blkge", self.dropout(weights), v)
        return self.o_proj(out.flatten(2))
