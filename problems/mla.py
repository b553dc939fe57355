"""Multi-head latent attention, about 30 minutes.

Grade it with: python grader.py check mla

DeepSeek-V2's multi-head latent attention, without its compression of queries: causal self-attention whose cache is
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
        # TODO:
        #   1. ValueError when rope_dim is odd
        #   2. the four projections, without bias
        raise NotImplementedError("LatentAttention.__init__")

    def forward(self, x: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """x (B, L, D), cache None or (B, P, R), (B, P, Er) -> (B, L, D), and (B, S, R), (B, S, Er)."""
        # TODO:
        #   1. queries by head, plain part and rope part; the latent and the rope key of each new token
        #   2. rotate the rope parts by the positions of the new tokens
        #   3. latents and rope keys of past and new tokens: that is the new cache
        #   4. scores of the plain parts and of the rope parts, added, scaled
        #   5. a new token sees the past and the new tokens up to itself
        #   6. weighted mean of each head's values, heads joined, projected out; return it with the new cache
        raise NotImplementedError("LatentAttention.forward")
