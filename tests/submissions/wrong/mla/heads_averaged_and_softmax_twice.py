"""Averages the heads before o_proj, which then does not fit, and takes the softmax twice."""
# cause: merge-mean, softmax-twice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Cache = tuple[Tensor, Tensor]

BASE = 10000.0


class LatentAttention(nn.Module):
    """The absorbed way: kv_b_proj works on the queries and on the mean of the latents, never on each token."""

    def __init__(self, d_model: int, num_heads: int, head_dim: int, rope_dim: int, latent_dim: int) -> None:
        super().__init__()
        if rope_dim % 2:
            raise ValueError(f"rope_dim {rope_dim} is odd")
        self.h, self.e, self.er, self.r = num_heads, head_dim, rope_dim, latent_dim
        self.q_proj = nn.Linear(d_model, num_heads * (head_dim + rope_dim), bias=False)
        self.kv_a_proj = nn.Linear(d_model, latent_dim + rope_dim, bias=False)
        self.kv_b_proj = nn.Linear(latent_dim, num_heads * 2 * head_dim, bias=False)
        self.o_proj = nn.Linear(num_heads * head_dim, d_model, bias=False)

    def _up_weights(self) -> tuple[Tensor, Tensor]:
        w = self.kv_b_proj.weight.unflatten(0, (self.h, 2, self.e))
        return w[:, 0], w[:, 1]  # (H, E, R) each

    def _rope(self, t: Tensor, start: int) -> Tensor:
        """t (..., L, Er), the first of the L at position start."""
        half = self.er // 2
        freq = BASE ** (-torch.arange(half, dtype=torch.float64, device=t.device) / half)
        angle = torch.outer(torch.arange(start, start + t.shape[-2], dtype=torch.float64, device=t.device), freq)
        c, s = angle.cos().to(t.dtype), angle.sin().to(t.dtype)
        a, b = t[..., :half], t[..., half:]
        return torch.cat([a * c - b * s, a * s + b * c], -1)

    def forward(self, x: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        L = x.shape[1]
        past = cache[0].shape[1] if cache is not None else 0
        w_key, w_value = self._up_weights()

        q = self.q_proj(x).unflatten(-1, (self.h, self.e + self.er))
        q_latent = torch.einsum("blhe,her->bhlr", q[..., : self.e], w_key)
        q_rope = self._rope(q[..., self.e :].transpose(1, 2), past)

        down = self.kv_a_proj(x)
        latent, rope_key = down[..., : self.r], self._rope(down[..., self.r :], past)
        if cache is not None:
            latent = torch.cat([cache[0], latent], 1)
            rope_key = torch.cat([cache[1], rope_key], 1)

        scores = torch.einsum("bhlr,bsr->bhls", q_latent, latent) + torch.einsum("bhle,bse->bhls", q_rope, rope_key)
        scores = scores * (self.e + self.er) ** -0.5
        future = torch.ones(L, past + L, dtype=torch.bool, device=x.device).triu(past + 1)
        scores = scores.masked_fill(future, float("-inf"))
        weights = F.softmax(scores, dim=-1, dtype=torch.promote_types(x.dtype, torch.float32)).to(x.dtype)

        weights = F.softmax(weights, dim=-1)
        context = torch.einsum("bhls,bsr->bhlr", weights, latent)
        heads = torch.einsum("bhlr,her->bhle", context, w_value)
        return self.o_proj(heads.mean(dim=1)), (latent, rope_key)
