"""The queries are rotated before their heads and tokens change places."""
# cause: rope-heads-as-positions

import torch
from torch import nn


class LatentAttention(nn.Module):
    def __init__(self, d_model, num_heads, head_dim, rope_dim, latent_dim):
        super().__init__()
        if rope_dim % 2:
            raise ValueError("rope_dim must be even")
        self.num_heads, self.head_dim, self.rope_dim, self.latent_dim = num_heads, head_dim, rope_dim, latent_dim
        self.q_proj = nn.Linear(d_model, num_heads * (head_dim + rope_dim), bias=False)
        self.kv_a_proj = nn.Linear(d_model, latent_dim + rope_dim, bias=False)
        self.kv_b_proj = nn.Linear(latent_dim, num_heads * 2 * head_dim, bias=False)
        self.o_proj = nn.Linear(num_heads * head_dim, d_model, bias=False)

    def rotate(self, x, past):
        positions = torch.arange(past, past + x.shape[-2])
        dtype = x.dtype if x.dtype.itemsize >= 4 else torch.float32
        freq = 10000.0 ** (-torch.arange(0, self.rope_dim, 2, dtype=dtype) / self.rope_dim)
        angle = positions[:, None].to(dtype) * freq
        x1, x2 = x[..., : self.rope_dim // 2], x[..., self.rope_dim // 2 :]
        y1 = x1 * angle.cos() - x2 * angle.sin()
        y2 = x1 * angle.sin() + x2 * angle.cos()
        return torch.cat([y1, y2], dim=-1).type_as(x)

    def forward(self, x, cache=None):
        B, L, _ = x.shape
        P = 0 if cache is None else cache[0].shape[1]
        q = self.q_proj(x).view(B, L, self.num_heads, -1)
        q_plain = q[..., : self.head_dim].transpose(1, 2)
        q_rope = self.rotate(q[..., self.head_dim :], P).transpose(1, 2)
        kv = self.kv_a_proj(x)
        latent = kv[..., : self.latent_dim]
        rope_key = self.rotate(kv[..., self.latent_dim :], P)
        if cache is not None:
            latent = torch.cat([cache[0], latent], dim=1)
            rope_key = torch.cat([cache[1], rope_key], dim=1)
        w = self.kv_b_proj.weight.view(self.num_heads, 2 * self.head_dim, self.latent_dim)
        w_key, w_value = w[:, : self.head_dim], w[:, self.head_dim :]
        q_latent = q_plain @ w_key
        scores = q_latent @ latent.unsqueeze(1).transpose(-2, -1) + q_rope @ rope_key.unsqueeze(1).transpose(-2, -1)
        scores = scores / (self.head_dim + self.rope_dim) ** 0.5
        causal = torch.ones(L, P + L, dtype=torch.bool).tril(P)
        scores = torch.where(causal, scores, float("-inf"))
        attn = torch.softmax(scores, dim=-1)
        out = (attn @ latent.unsqueeze(1)) @ w_value.transpose(-2, -1)
        out = out.transpose(1, 2).reshape(B, L, self.num_heads * self.head_dim)
        return self.o_proj(out), (latent, rope_key)
