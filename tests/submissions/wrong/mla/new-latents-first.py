"""New tokens are put before the old ones."""
# cause: new-latents-first

import math

import torch
import torch.nn.functional as F
from torch import nn


def rope(x, positions):
    dim = x.shape[-1]
    dtype = torch.promote_types(x.dtype, torch.float32)
    exponents = torch.arange(dim // 2, dtype=dtype) * (-2.0 / dim)
    angles = positions.to(dtype)[:, None] * torch.exp(exponents * math.log(10000.0))
    first, second = x[..., : dim // 2].to(dtype), x[..., dim // 2 :].to(dtype)
    turned = (first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin())
    return torch.cat(turned, dim=-1).to(x.dtype)


class LatentAttention(nn.Module):
    def __init__(self, d_model, num_heads, head_dim, rope_dim, latent_dim):
        super().__init__()
        if rope_dim % 2 != 0:
            raise ValueError("rope_dim must be divisible by 2")
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.rope_dim = rope_dim
        self.latent_dim = latent_dim
        self.q_proj = nn.Linear(d_model, num_heads * (head_dim + rope_dim), bias=False)
        self.kv_a_proj = nn.Linear(d_model, latent_dim + rope_dim, bias=False)
        self.kv_b_proj = nn.Linear(latent_dim, num_heads * 2 * head_dim, bias=False)
        self.o_proj = nn.Linear(num_heads * head_dim, d_model, bias=False)

    def forward(self, x, cache=None):
        _, L, D = x.shape
        H, E, R = self.num_heads, self.head_dim, self.latent_dim
        wq = self.q_proj.weight.view(H, E + self.rope_dim, D)
        wk, wv = self.kv_b_proj.weight.view(H, 2, E, R).unbind(dim=1)
        wo = self.o_proj.weight.view(D, H, E)
        to_latent = torch.einsum("hed,her->hrd", wq[:, :E], wk)
        from_latent = torch.einsum("dhe,her->dhr", wo, wv)

        start = 0
        if cache is not None:
            start = cache[0].size(1)
        positions = torch.arange(start, start + L)
        latent, rope_key = self.kv_a_proj(x).tensor_split([R], dim=-1)
        rope_key = rope(rope_key, positions)
        if cache is not None:
            latent, rope_key = torch.cat([latent, cache[0]], dim=1), torch.cat([rope_key, cache[1]], dim=1)

        q_latent = torch.einsum("bld,hrd->bhlr", x, to_latent)
        q_rope = rope(torch.einsum("bld,hed->bhle", x, wq[:, E:]), positions)
        scores = torch.einsum("bhlr,bsr->bhls", q_latent, latent) + torch.einsum("bhle,bse->bhls", q_rope, rope_key)
        scores = scores * (1 / math.sqrt(E + self.rope_dim))
        visible = torch.ones(L, start + L).tril(start).bool()
        weights = F.softmax(scores.masked_fill(visible.logical_not(), float("-inf")), dim=-1)
        mixed = torch.einsum("bhls,bsr->blhr", weights, latent)
        return F.linear(mixed.flatten(2), from_latent.flatten(1)), (latent, rope_key)
