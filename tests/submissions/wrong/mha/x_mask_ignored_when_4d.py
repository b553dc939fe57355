"""Masks of two and three dimensions are applied, one of four is silently dropped."""
# cause: none

import torch
from torch import nn
from torch.nn import functional as F


class MultiHeadAttention(nn.Module):

    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError('d_model %d, num_heads %d' % (d_model, num_heads))
        self.h = num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.attn_dropout = nn.Dropout(dropout)

    @staticmethod
    def _fused(x, *layers):
        w = torch.cat([layer.weight for layer in layers], dim=0)
        b = None if layers[0].bias is None else torch.cat([layer.bias for layer in layers])
        return F.linear(x, w, b).chunk(len(layers), dim=-1)

    def _project(self, query, key, value):
        if query is key and key is value:
            return self._fused(query, self.q_proj, self.k_proj, self.v_proj)
        if key is value:
            return (self.q_proj(query), *self._fused(key, self.k_proj, self.v_proj))
        return self.q_proj(query), self.k_proj(key), self.v_proj(value)

    def forward(self, query, key, value, mask=None):
        b, l, d = query.shape
        q, k, v = (t.reshape(b, -1, self.h, d // self.h).permute(0, 2, 1, 3) for t in self._project(query, key, value))
        s = (q * (d // self.h) ** -0.5).matmul(k.permute(0, 1, 3, 2))
        if mask is not None and mask.dim() in (2, 3):
            mask = mask.expand(b, 1, *mask.shape) if mask.dim() == 2 else mask.unsqueeze(1)
            s = torch.where(mask, s, torch.full_like(s, torch.finfo(s.dtype).min))
            a = F.softmax(s, dim=-1)
            a = torch.where(mask, a, torch.zeros_like(a))
        else:
            a = F.softmax(s, dim=-1)
        y = self.attn_dropout(a).matmul(v)
        return self.o_proj(y.permute(0, 2, 1, 3).reshape(b, l, d))
