"""In the style of functional one-file models: exists, default, namedtuples, partials, einsum for every product."""

from collections import namedtuple
from functools import partial, wraps

import torch
from torch import einsum, nn

Intermediates = namedtuple("Intermediates", ["pre_softmax_attn", "post_softmax_attn"])
LinearNoBias = partial(nn.Linear, bias=False)


def exists(val):
    return val is not None


def default(val, d):
    if exists(val):
        return val
    return d() if callable(d) else d


def divisible_by(num, den):
    return (num % den) == 0


def maybe(fn):
    @wraps(fn)
    def inner(x, *args, **kwargs):
        if not exists(x):
            return x
        return fn(x, *args, **kwargs)

    return inner


def max_neg_value(tensor):
    return -torch.finfo(tensor.dtype).max


@maybe
def to_four_dim(mask):
    return mask[(None,) * (4 - mask.ndim)] if mask.ndim != 3 else mask[:, None]


def split_heads(t, h):
    b, n, hd = t.shape
    return t.reshape(b, n, h, hd // h).permute(0, 2, 1, 3)


class Attend(nn.Module):
    def __init__(self, *, dropout=0.0, scale=None):
        super().__init__()
        self.scale = scale
        self.attn_dropout = nn.Dropout(dropout)

    def forward(self, q, k, v, mask=None):
        scale = default(self.scale, q.shape[-1] ** -0.5)
        sim = einsum("b h i d, b h j d -> b h i j", q * scale, k)
        pre_softmax_attn = sim
        if exists(mask):
            sim = sim.masked_fill(~mask, max_neg_value(sim))
        attn = sim.softmax(dim=-1)
        if exists(mask):
            attn = attn.masked_fill(~mask, 0.0)
        post_softmax_attn = attn
        out = einsum("b h i j, b h j d -> b h i d", self.attn_dropout(attn), v)
        return out, Intermediates(pre_softmax_attn, post_softmax_attn)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if not divisible_by(d_model, num_heads):
            raise ValueError(f"{d_model} is not divisible by {num_heads}")
        Linear = nn.Linear if bias else LinearNoBias
        self.heads = num_heads
        self.q_proj, self.k_proj, self.v_proj = (Linear(d_model, d_model) for _ in range(3))
        self.o_proj = Linear(d_model, d_model)
        self.attend = Attend(dropout=dropout)

    def forward(self, query, key, value, mask=None):
        h = self.heads
        q, k, v = (
            split_heads(fn(x), h) for fn, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        out, intermediates = self.attend(q, k, v, mask=to_four_dim(mask))
        out = out.permute(0, 2, 1, 3).flatten(2)
        return self.o_proj(out)
