"""Seen as multi-query attention: one key head of R + Er features, whose first R are the value; the cache is a view."""

from typing import NamedTuple

import torch
from torch import nn


class LatentCache(NamedTuple):
    latent: torch.Tensor
    rope_key: torch.Tensor


class Rope:
    def __init__(self, dim):
        self.dim = dim

    def __call__(self, x, positions):
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        inv = 10000 ** -(torch.arange(0, self.dim, 2, dtype=dtype) / self.dim)
        theta = positions.to(dtype).unsqueeze(-1) * inv
        cos = torch.cat([theta.cos(), theta.cos()], -1)
        sin = torch.cat([-theta.sin(), theta.sin()], -1)
        swapped = torch.roll(x, self.dim // 2, dims=-1)
        return (x * cos + swapped * sin).to(x.dtype)


class LatentAttention(nn.Module):
    def __init__(self, d_model, num_heads, head_dim, rope_dim, latent_dim):
        super().__init__()
        if rope_dim & 1:
            raise ValueError("rope_dim needs pairs")
        self.sizes = num_heads, head_dim, rope_dim, latent_dim
        self.rope = Rope(rope_dim)
        self.q_proj = nn.Linear(d_model, num_heads * (head_dim + rope_dim), bias=False)
        self.kv_a_proj = nn.Linear(d_model, latent_dim + rope_dim, bias=False)
        self.kv_b_proj = nn.Linear(latent_dim, num_heads * 2 * head_dim, bias=False)
        self.o_proj = nn.Linear(num_heads * head_dim, d_model, bias=False)

    def forward(self, x, cache=None):
        heads, width, rope, rank = self.sizes
        b, n, _ = x.shape
        seen = 0 if cache is None else cache[0].shape[1]
        positions = torch.arange(seen, seen + n)
        both = self.kv_a_proj(x)
        both = torch.cat([both[..., :rank], self.rope(both[..., rank:], positions)], dim=-1)
        if cache is not None:
            both = torch.cat([torch.cat(list(cache), dim=-1), both], dim=1)
        q = self.q_proj(x).view(b, n, heads, width + rope).permute(0, 2, 1, 3)
        up = self.kv_b_proj.weight.view(heads, 2, width, rank)
        q_latent = torch.einsum("bhne,her->bhnr", q[..., :width], up[:, 0])
        q_wide = torch.cat([q_latent, self.rope(q[..., width:], positions)], dim=-1) * (width + rope) ** -0.5
        scores = torch.bmm(q_wide.reshape(b, heads * n, rank + rope), both.transpose(1, 2)).view(b, heads, n, -1)
        hidden = torch.arange(seen + n).unsqueeze(0) > positions.unsqueeze(1)
        p = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(-1)
        mean = torch.bmm(p.reshape(b, heads * n, -1), both)[..., :rank].view(b, heads, n, rank)
        value = torch.einsum("bhnr,her->bnhe", mean, up[:, 1])
        return self.o_proj(value.reshape(b, n, heads * width)), LatentCache(both[..., :rank], both[..., rank:])
