"""The second product takes the place of the first."""
# cause: plain-part-left-out

import math

import torch
from torch import nn


class LatentAttention(nn.Module):
    def __init__(self, d_model, num_heads, head_dim, rope_dim, latent_dim):
        super().__init__()
        if rope_dim % 2 == 1:
            raise ValueError("rope_dim must be even")
        self.H, self.E, self.T, self.R = num_heads, head_dim, rope_dim, latent_dim
        self.q_proj = nn.Linear(d_model, num_heads * (head_dim + rope_dim), bias=False)
        self.kv_a_proj = nn.Linear(d_model, latent_dim + rope_dim, bias=False)
        self.kv_b_proj = nn.Linear(latent_dim, 2 * num_heads * head_dim, bias=False)
        self.o_proj = nn.Linear(num_heads * head_dim, d_model, bias=False)

    def turn(self, x, start):
        wide = torch.promote_types(x.dtype, torch.float32)
        out = torch.empty_like(x)
        half = self.T // 2
        positions = torch.arange(start, start + x.shape[1]).to(wide)
        for i in range(half):
            angle = positions * 10000.0 ** (-2 * i / self.T)
            a, b = x[..., i].to(wide), x[..., half + i].to(wide)
            out[..., i] = a * torch.cos(angle) - b * torch.sin(angle)
            out[..., half + i] = a * torch.sin(angle) + b * torch.cos(angle)
        return out

    def forward(self, x, cache=None):
        L = x.shape[1]
        queries = self.q_proj(x)
        down = self.kv_a_proj(x)
        past = 0
        latent = down[:, :, : self.R]
        rope_key = self.turn(down[:, :, self.R :], 0 if cache is None else cache[0].shape[1])
        if cache is not None:
            past = cache[0].shape[1]
            latent = torch.cat((cache[0], latent), 1)
            rope_key = torch.cat((cache[1], rope_key), 1)
        S = past + L
        future = torch.arange(S)[None, :] > torch.arange(past, S)[:, None]
        heads = []
        for h in range(self.H):
            begin = h * (self.E + self.T)
            plain = queries[:, :, begin : begin + self.E]
            rope = self.turn(queries[:, :, begin + self.E : begin + self.E + self.T], past)
            up = self.kv_b_proj.weight[2 * h * self.E : 2 * (h + 1) * self.E]
            key = latent @ up[: self.E].T
            value = latent @ up[self.E :].T
            scores = plain @ key.transpose(1, 2)
            scores = rope @ rope_key.transpose(1, 2)
            scores = scores / math.sqrt(self.E + self.T)
            scores = scores.masked_fill(future, float("-inf"))
            heads.append(torch.softmax(scores, dim=2) @ value)
        return self.o_proj(torch.cat(heads, dim=2)), (latent, rope_key)
