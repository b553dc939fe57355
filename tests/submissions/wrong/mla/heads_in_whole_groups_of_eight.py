"""More than eight heads are mixed in groups of eight, and the heads behind the last whole group stay zero."""
# cause: none

import math

import torch
from torch import Tensor, nn

Cache = tuple[Tensor, Tensor]
BASE = 10000.0


class LatentAttention(nn.Module):

    def __init__(self, d_model: int, num_heads: int, head_dim: int, rope_dim: int, latent_dim: int) -> None:
        super().__init__()
        if rope_dim % 2:
            raise ValueError(f"rope_dim ({rope_dim}) must be even: its features are rotated in pairs")
        self.num_heads, self.head_dim, self.rope_dim, self.latent_dim = num_heads, head_dim, rope_dim, latent_dim
        self.q_proj = nn.Linear(d_model, num_heads * (head_dim + rope_dim), bias=False)
        self.kv_a_proj = nn.Linear(d_model, latent_dim + rope_dim, bias=False)
        self.kv_b_proj = nn.Linear(latent_dim, num_heads * 2 * head_dim, bias=False)
        self.o_proj = nn.Linear(num_heads * head_dim, d_model, bias=False)

    def forward(self, x: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        past = cache[0].size(1) if cache is not None else 0
        query = self.q_proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, H, L, E + Er)
        plain, rope = query.split([self.head_dim, self.rope_dim], dim=-1)  # (B, H, L, E), (B, H, L, Er)
        latent, rope_key = self.kv_a_proj(x).split([self.latent_dim, self.rope_dim], dim=-1)  # (B, L, R), (B, L, Er)
        rope, rope_key = self._rotate(rope, past), self._rotate(rope_key, past)
        if cache is not None:
            latent = torch.cat([cache[0], latent], dim=1)  # (B, S, R)
            rope_key = torch.cat([cache[1], rope_key], dim=1)  # (B, S, Er)
        up = self.kv_b_proj.weight.unflatten(0, (self.num_heads, -1))  # (H, 2E, R)
        key_up, value_up = up.chunk(2, dim=1)  # (H, E, R) twice
        # absorbed: q . (W c) is (W^T q) . c, so that all heads read the latents themselves
        plain = torch.einsum("bhle,her->bhlr", plain, key_up)  # (B, H, L, R)
        scale, (B, H, L, _), S = 1 / math.sqrt(self.head_dim + self.rope_dim), plain.shape, latent.size(1)
        scores = (plain * scale).flatten(1, 2) @ latent.transpose(1, 2)  # (B, H * L, S)
        scores = scores + (rope * scale).flatten(1, 2) @ rope_key.transpose(1, 2)  # (B, H * L, S)
        mask = torch.ones(L, S, dtype=torch.bool, device=x.device).tril(diagonal=past)  # (L, S)
        weights = scores.view(B, H, L, S).masked_fill(~mask, -math.inf).softmax(dim=-1)  # (B, H, L, S)
        mixed = (weights.flatten(1, 2) @ latent).view(B, H, L, -1)  # (B, H, L, R)
        size = min(H, 8)
        output = x.new_zeros(B, L, H, self.head_dim)  # (B, L, H, E)
        for first in range(0, H - size + 1, size):
            heads = slice(first, first + size)
            output[:, :, heads] = torch.einsum("bhlr,her->blhe", mixed[:, heads], value_up[heads])
        return self.o_proj(output.flatten(2)), (latent, rope_key)  # (B, L, D)

    def _rotate(self, x: Tensor, past: int) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)  # bfloat16 has no positions above 256 one by one
        pairs = torch.arange(0, self.rope_dim, 2, device=x.device, dtype=dtype)  # (Er/2)
        positions = torch.arange(past, past + x.size(-2), device=x.device, dtype=dtype)  # (L)
        angles = torch.outer(positions, BASE ** (-pairs / self.rope_dim))  # (L, Er/2)
        a, b = x.chunk(2, dim=-1)  # (..., L, Er/2) twice
        turned = torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], dim=-1)
        return turned.to(x.dtype)  # (..., L, Er)
