"""In the style of a short replication: no helper layers, einsum with one shared head, a decorator that counts calls."""

import collections
import functools
import time

import torch
from torch import einsum, nn

CALLS = collections.defaultdict(list)


def timed(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        begin = time.perf_counter()
        out = fn(*args, **kwargs)
        CALLS[fn.__name__].append(time.perf_counter() - begin)
        return out

    return wrapper


def exists(val):
    return val is not None


class Residual(nn.Module):
    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def forward(self, x):
        return self.fn(x) + x


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        dim_head, rest = divmod(d_model, num_heads)
        if rest:
            raise ValueError(f"dim {d_model} heads {num_heads}")
        self.heads, self.scale = num_heads, dim_head**-0.5
        self.q_proj = nn.Linear(d_model, dim_head * num_heads, bias=bias)
        self.k_proj = nn.Linear(d_model, dim_head, bias=bias)
        self.v_proj = nn.Linear(d_model, dim_head, bias=bias)
        self.o_proj = nn.Linear(dim_head * num_heads, d_model, bias=bias)
        self.attn_dropout = nn.Dropout(dropout)

    @timed
    def forward(self, query, key, value, mask=None):
        """
        einstein notation
        b - batch
        h - heads
        n, i, j - sequence length (base sequence length, source, target)
        d - feature dimension
        """
        b, n, _, h = *query.shape, self.heads
        q = self.q_proj(query).reshape(b, n, h, -1).transpose(1, 2) * self.scale
        k, v = self.k_proj(key), self.v_proj(value)
        sim = einsum("b h i d, b j d -> b h i j", q, k)
        if exists(mask):
            mask = mask.unsqueeze(1) if mask.ndim == 3 else mask
            sim = sim.masked_fill(~mask, -torch.finfo(sim.dtype).max)
        sim = sim - sim.amax(dim=-1, keepdim=True).detach()
        attn = sim.softmax(dim=-1)
        if exists(mask):
            attn = attn * mask
        out = einsum("b h i j, b j d -> b h i d", self.attn_dropout(attn), v)
        return self.o_proj(out.transpose(1, 2).reshape(b, n, -1))
