"""Llama's attention with a static KV cache, about 35 minutes.

Grade it with: python grader.py check static_kv_cache

Llama's attention as it is served: the cache is allocated once, and each call writes its tokens into it.

    B batch    L new tokens    D d_model    H num_heads    K num_kv_heads    E head_dim = D / H
    M slots of the cache    P cache.length, slots that are written    S = P + L

    x (B, L, D), cache    ->    output (B, L, D), and in the cache L tokens more

- A call rotates the new queries and keys, not the values, by their positions P ... P + L - 1: pair i of a head is its
  features i and i + E/2, its angle is position * rope_base^(-2i / E), and it turns from (a, b) to
  (a cos - b sin, a sin + b cos).
- It writes the rotated keys and the values into slots P ... P + L - 1, *in place*, and sets cache.length to P + L.
  cache.keys and cache.values stay the tensors that they are, and their other slots stay as they are.
- Scores are the dot products of queries and keys, times 1/sqrt(E).
- New token i sees slots 0 ... P + i, whatever the others hold: a slot that is not written may hold anything, NaN too.
- What a layer knows of a sequence is in its cache. So any split of a sequence into calls gives what one call gives, one
  layer may serve several caches in turns, and a caller who sets cache.length to less goes on from there.
- Layers: q_proj and o_proj are nn.Linear(D, D), k_proj and v_proj nn.Linear(D, K * E), all without bias. Query head h
  reads key/value head h // (H // K).
- x, parameters and cache have one dtype (float16, bfloat16, float32 or float64), and so has the output. Angles are
  computed in float32 at least. float64 in, float64 precision out, in the cache too.
- A call changes neither x nor the parameters. It is made without gradients, and none are asked for.

Example: D = E = 2, H = K = 1, M = 4, all four layers the identity, an empty cache. A call with x = [(1, 0), (0, 1)]
writes the keys (1, 0), (-0.841, 0.540) and the values (1, 0), (0, 1), and gives (1, 0), (0.214, 0.786); cache.length is
2. Another, with x = [(1, 0)], writes the key (-0.416, 0.909) into slot 2 and gives (0.605, 0.395); slot 3 is as it was.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class KVCache:
    """Room for the keys and values of M tokens. It is given, and stays as it stands here."""

    keys: Tensor  # (B, K, M, E), rotated
    values: Tensor  # (B, K, M, E)
    length: int  # P: slots 0 ... P - 1 are written


class LlamaAttention(nn.Module):
    """Causal grouped-query self-attention with rotary positions over a cache of fixed size.

    Args:
        d_model: D, features of x and output.
        num_heads: H, query heads; divides d_model.
        num_kv_heads: K, key/value heads; divides num_heads.
        rope_base: of the angles.

    Raises:
        ValueError: num_heads does not divide d_model, num_kv_heads does not divide num_heads, or head_dim is odd.

    Source: "The Llama 3 Herd of Models", section 3.2; "RoFormer: Enhanced Transformer with Rotary Position Embedding",
    section 3.2.2; "Efficient Memory Management for Large Language Model Serving with PagedAttention", section 3.1.
    """

    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, rope_base: float = 10000.0) -> None:
        super().__init__()
        # TODO:
        #   1. ValueError unless num_heads divides d_model, num_kv_heads divides num_heads, and head_dim is even
        #   2. the four projections, without bias
        raise NotImplementedError("LlamaAttention.__init__")

    def forward(self, x: Tensor, cache: KVCache) -> Tensor:
        """x (B, L, D) -> (B, L, D). The cache holds L tokens more.

        Raises:
            ValueError: the cache has no L slots left; it is then as it was before, and its length too.
        """
        # TODO:
        #   1. ValueError where the new tokens do not fit, before anything is written
        #   2. project and split: query into H heads, key and value into K heads
        #   3. rotate queries and keys by the positions of the new tokens
        #   4. write keys and values into their slots, in place; advance the length
        #   5. attend to the slots that are written: a new token sees those up to its own
        #   6. join the heads and project out
        raise NotImplementedError("LlamaAttention.forward")
