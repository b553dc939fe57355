"""The key/value weights repeated to all heads at call time, after which it is plain multi-head attention."""
# star: none

import torch
import torch.nn as nn
import torch.nn.functional as F


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f'{d_model=} {num_heads=}')
        if num_heads % num_kv_heads:
            raise ValueError(f'{num_heads=} {num_kv_heads=}')
        self.num_heads = num_heads
        self.group = num_heads // num_kv_heads
        e = self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * e, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * e, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def full(self, layer):
        def stretch(p):
            return p.unflatten(0, (-1, self.head_dim)).repeat_interleave(self.group, dim=0).flatten(0, 1)

        return stretch(layer.weight), stretch(layer.bias) if layer.bias is not None else None

    def split(self, x):
        return torch.stack(x.split(self.head_dim, dim=-1), dim=1)

    def forward(self, query, key, value, mask=None):
        q = self.split(self.q_proj(query))
        k = self.split(F.linear(key, *self.full(self.k_proj)))
        v = self.split(F.linear(value, *self.full(self.v_proj)))
        a = (q / self.head_dim ** 0.5) @ k.transpose(2, 3)
        if mask is not None:
            mask = mask if mask.dim() != 3 else mask[:, None]
            a = a.masked_fill(~mask, torch.finfo(a.dtype).min)
            a = a.softmax(3) * mask
        else:
            a = a.softmax(3)
        y = self.dropout(a) @ v
        return self.o_proj(torch.cat(y.unbind(1), dim=-1))
