"""DeepSeek-V2's multi-head latent attention, without its compression of queries: causal self-attention whose cache is
one narrow vector a token for all heads, from which each head makes keys and values of its own.

    B batch    L new tokens    D d_model    H num_heads    E head_dim    Er rope_dim    R latent_dim
    P past tokens in the cache    S = P + L

    x (B, L, D), cache    ->    output (B, L, D), cache

- Layers, all nn.Linear without bias, and no norm between them:
  q_proj (D -> H * (E + Er)): head by head, the first E features are the plain part of the query, Er the rope part.
  kv_a_proj (D -> R + Er): the first R features are the latent of the token, the last Er its rope key.
  kv_b_proj (R -> H * 2E): head by head, the first E features are the plain part of the key, the last E the value.
  o_proj (H * E -> D): the heads are joined in order. d_model need not be H * E.
- New tokens have the positions P ... P + L - 1. The rope parts of the queries and the rope key are rotated by them, and
  nothing else is. Pair i is features i and i + Er/2; its angle is position * 10000^(-2i / Er), and it turns from (a, b)
  to (a cos - b sin, a sin + b cos).
- The score of a query and a key is the dot product of their plain parts plus that of their rope parts, times
  1/sqrt(E + Er). The rope key of a token is the same for all heads.
- New token i sees the past and the new tokens up to itself.
- cache is None or a tuple (latent (B, P, R), rope_key (B, P, Er)), in the order of the tokens, the rope keys rotated.
  The one returned is such a tuple of S tokens, and nothing else; the one handed in is left as it was.
- Nothing but the cache is kept between calls, no tokens and no products of weights: weights may change, and any split
  of a sequence into calls gives what one call gives. One pass trains, and gradients flow into a cache handed in.
- x, parameters and cache have one dtype (float16, bfloat16, float32 or float64), and so has what is returned. Angles
  are computed in float32 at least, all else may be in that dtype; float64 in, float64 precision out. Scores up to 1e4
  must not overflow in float32 and float64.
- A call changes neither x nor the parameters.

It makes no difference to the numbers whether keys and values are made of all latents (expanded), or kv_b_proj is moved
over to the queries and to the weighted sum of the latents (absorbed). Both pass. The star, which fails nobody, is for
the absorbed way: a step with a cache that makes no tensor of B * S * H * E elements.

Example: D = Er = 2, H = E = R = 1. q_proj copies x_0, x_0, x_1; kv_a_proj the same; kv_b_proj is (1, 10); o_proj copies
its input to both features. x = [(1, 0), (2, 0)] without a cache gives the latents 1, 2, the rope keys (1, 0),
(1.081, 1.683), and the output (10, 10), (19.448, 19.448). Going on with x = [(1, 0)] adds the latent 1 and the rope key
(-0.416, 0.909), and gives (15.642, 15.642).
"""

import math

import torch
from torch import Tensor, nn

Cache = tuple[Tensor, Tensor]
BASE = 10000.0


class LatentAttention(nn.Module):
    """Causal self-attention over a cache of latents.

    Args:
        d_model: D, features of x and output.
        num_heads: H.
        head_dim: E, features of a value, and of the plain part of queries and keys.
        rope_dim: Er, features of the rope part of queries and keys; even.
        latent_dim: R, features of a latent.

    Raises:
        ValueError: rope_dim is odd.

    Source: "DeepSeek-V2: A Strong, Economical, and Efficient Mixture-of-Experts Language Model", section 2.1;
    "RoFormer: Enhanced Transformer with Rotary Position Embedding", section 3.2.2.
    """

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
        """x (B, L, D), cache None or (B, P, R), (B, P, Er) -> (B, L, D), and (B, S, R), (B, S, Er)."""
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
        output = torch.einsum("bhlr,her->blhe", mixed, value_up)  # (B, L, H, E)
        return self.o_proj(output.flatten(2)), (latent, rope_key)  # (B, L, D)

    def _rotate(self, x: Tensor, past: int) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)  # bfloat16 has no positions above 256 one by one
        pairs = torch.arange(0, self.rope_dim, 2, device=x.device, dtype=dtype)  # (Er/2)
        positions = torch.arange(past, past + x.size(-2), device=x.device, dtype=dtype)  # (L)
        angles = torch.outer(positions, BASE ** (-pairs / self.rope_dim))  # (L, Er/2)
        a, b = x.chunk(2, dim=-1)  # (..., L, Er/2) twice
        turned = torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], dim=-1)
        return turned.to(x.dtype)  # (..., L, Er)
