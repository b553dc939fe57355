"""Grouped-query attention with a KV cache, about 30 minutes.

Grade it with: python grader.py check gqa_kv_cache

Grouped-query attention with a KV cache: causal self-attention, a few new tokens at a time.

    B batch    L new tokens    D d_model    H num_heads    K num_kv_heads    E head_dim = D / H
    past tokens in the cache    S = past + L key length

    x (B, L, D), kv_cache    ->    output (B, L, D), kv_cache

- kv_cache is None or a tuple (keys, values), each (B, K, past, E), in the order of the tokens. The one returned holds
  past + L tokens; the one handed in is left as it was.
- New token i sees the past and the new tokens up to itself: any split of a sequence into chunks gives what one
  pass gives.
- Only the new tokens are projected. The state lives in the cache and not on self: two sequences may be decoded
  in turns, a prefix continued twice, a cache cloned or reordered.
- Layers: q_proj and o_proj are nn.Linear(D, D); k_proj and v_proj are nn.Linear(D, K * E). All with a bias or
  all without. Query head h reads key/value head h // (H // K).
- One pass trains as multi-head attention does, and gradients flow into a cache that is handed in. The cache that is
  returned may be detached.
- The dtype of x is kept (float16, bfloat16, float32, float64). Scores of 1e4 are safe, in float16 up to
  head_dim = 128. float64 in, float64 precision out, the root of head_dim and the softmax too.
- A call changes neither x nor the parameters.
- ValueError when num_heads does not divide d_model, or num_kv_heads does not divide num_heads.
"""

import math

import torch
from torch import Tensor, nn

KVCache = tuple[Tensor, Tensor]


class CachedGroupedQueryAttention(nn.Module):
    """Causal grouped-query self-attention over a cache of keys and values.

    Args:
        d_model: D, features of x and output.
        num_heads: H, query heads; divides d_model.
        num_kv_heads: K, key/value heads; divides num_heads.
        bias: whether the four projections have a bias.

    Raises:
        ValueError: num_heads does not divide d_model, or num_kv_heads does not divide num_heads.

    Source: "GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints", section 2.2;
    "Fast Transformer Decoding: One Write-Head is All You Need", section 2.4 (incremental decoding).
    """

    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, bias: bool = True) -> None:
        super().__init__()
        # TODO:
        #   1. ValueError unless num_heads divides d_model and num_kv_heads divides num_heads
        #   2. the four projections, with or without bias
        raise NotImplementedError("CachedGroupedQueryAttention.__init__")

    def forward(self, x: Tensor, kv_cache: KVCache | None = None) -> tuple[Tensor, KVCache]:
        """x (B, L, D), kv_cache None or two of (B, K, past, E) -> (B, L, D), two of (B, K, past + L, E)."""
        # TODO:
        #   1. project the new tokens and split: query into H heads, key and value into K heads
        #   2. keys and values of past and new tokens, in the order of the tokens
        #   3. scores of each query head with its own key head, scaled
        #   4. a new token sees the past and the new tokens up to itself
        #   5. weighted mean of the values, heads joined, projected out; return it with the new cache
        raise NotImplementedError("CachedGroupedQueryAttention.forward")
