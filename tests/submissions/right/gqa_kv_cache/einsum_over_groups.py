"""Einsums over groups of query heads, with positions compared for the mask."""

import torch
import torch.nn.functional as F
from torch import nn


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, bias=True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model={d_model} is not divisible by num_heads={num_heads}")
        if num_heads % num_kv_heads != 0:
            raise ValueError(f"num_heads={num_heads} is not divisible by num_kv_heads={num_kv_heads}")
        self.d_model = d_model
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.group_size = num_heads // num_kv_heads
        self.head_dim = d_model // num_heads

        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x, kv_cache=None):
        b, n, d = x.shape
        h, kv, e = self.num_heads, self.num_kv_heads, self.head_dim

        q = self.q_proj(x).reshape(b, n, kv, h // kv, e)
        k = self.k_proj(x).reshape(b, n, kv, e).transpose(1, 2)
        v = self.v_proj(x).reshape(b, n, kv, e).transpose(1, 2)

        past = 0
        if kv_cache is not None:
            past = kv_cache[0].shape[2]
            k = torch.cat((kv_cache[0], k), dim=2)
            v = torch.cat((kv_cache[1], v), dim=2)

        att = torch.einsum("bnkge,bkse->bkgns", q / e**0.5, k)
        row = torch.arange(past, past + n, device=x.device)[:, None]
        col = torch.arange(past + n, device=x.device)[None, :]
        att = att.masked_fill(col > row, -torch.inf)
        att = F.softmax(att, dim=-1)

        y = torch.einsum("bkgns,bkse->bnkge", att, v).reshape(b, n, d)
        return self.o_proj(y), (k, v)
