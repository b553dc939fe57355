"""Tokens one after the other, without a mask: each goes into the cache, and then looks at all of it."""

import torch
from torch import nn


class LatentAttention(nn.Module):
    def __init__(self, d_model, num_heads, head_dim, rope_dim, latent_dim):
        super().__init__()
        if rope_dim % 2:
            raise ValueError("odd rope_dim")
        self.h, self.e, self.t, self.r = num_heads, head_dim, rope_dim, latent_dim
        self.q_proj = nn.Linear(d_model, num_heads * (head_dim + rope_dim), bias=False)
        self.kv_a_proj = nn.Linear(d_model, latent_dim + rope_dim, bias=False)
        self.kv_b_proj = nn.Linear(latent_dim, num_heads * 2 * head_dim, bias=False)
        self.o_proj = nn.Linear(num_heads * head_dim, d_model, bias=False)

    def rope(self, x, position):
        wide = torch.promote_types(x.dtype, torch.float32)
        i = torch.arange(self.t // 2, dtype=wide)
        angle = position * torch.pow(torch.tensor(10000.0, dtype=wide), -2 * i / self.t)
        a, b = x[..., : self.t // 2], x[..., self.t // 2 :]
        c, s = angle.cos(), angle.sin()
        return torch.cat((a * c - b * s, b * c + a * s), -1).to(x.dtype)

    def step(self, token, latent, rope_key):
        b, past = token.shape[0], latent.shape[1]
        down = self.kv_a_proj(token)
        latent = torch.cat((latent, down[:, None, : self.r]), 1)
        rope_key = torch.cat((rope_key, self.rope(down[:, self.r :], past)[:, None]), 1)
        q = self.q_proj(token).reshape(b, self.h, self.e + self.t)
        q_plain, q_rope = q[..., : self.e], self.rope(q[..., self.e :], past)
        w = self.kv_b_proj.weight.reshape(self.h, 2, self.e, self.r)
        q_latent = (q_plain[:, :, None, :] @ w[:, 0])[:, :, 0]
        scores = q_latent @ latent.mT + q_rope @ rope_key.mT
        p = torch.softmax(scores * (self.e + self.t) ** -0.5, -1)
        mixed = p @ latent
        out = (w[:, 1] @ mixed[..., None])[..., 0]
        return self.o_proj(out.reshape(b, self.h * self.e)), latent, rope_key

    def forward(self, x, cache=None):
        if cache is None:
            cache = x.new_zeros(x.shape[0], 0, self.r), x.new_zeros(x.shape[0], 0, self.t)
        latent, rope_key = cache
        outputs = []
        for token in x.unbind(1):
            output, latent, rope_key = self.step(token, latent, rope_key)
            outputs.append(output)
        return torch.stack(outputs, 1), (latent, rope_key)
