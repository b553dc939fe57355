"""Llama's attention as it is served: the cache is allocated once, and each call writes its tokens into it.

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
        if d_model % num_heads:
            raise ValueError(f"d_model ({d_model}) must be divisible by num_heads ({num_heads})")
        if num_heads % num_kv_heads:
            raise ValueError(f"num_heads ({num_heads}) must be divisible by num_kv_heads ({num_kv_heads})")
        self.head_dim, self.rope_base = d_model // num_heads, rope_base
        if self.head_dim % 2:
            raise ValueError(f"head_dim ({self.head_dim}) must be even: its features are rotated in pairs")
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x: Tensor, cache: KVCache) -> Tensor:
        """x (B, L, D) -> (B, L, D). The cache holds L tokens more.

        Raises:
            ValueError: the cache has no L slots left; it is then as it was before, and its length too.
        """
        start, end = cache.length, cache.length + x.size(1)
        if end > cache.keys.size(2):  # before anything is written
            raise ValueError(f"{end} tokens do not fit into a cache of {cache.keys.size(2)} slots")
        query = self._rotate(self._split(self.q_proj(x)), start)  # (B, H, L, E)
        cache.keys[:, :, start:end] = self._rotate(self._split(self.k_proj(x)), start)  # (B, K, L, E)
        cache.values[:, :, start:end] = self._split(self.v_proj(x))  # (B, K, L, E)
        cache.length = end
        key, value = cache.keys[:, :, :end], cache.values[:, :, :end]  # (B, K, S, E), views: nothing is copied
        (B, H, L, E), (K, S) = query.shape, key.shape[1:3]
        rows = (query / math.sqrt(E)).reshape(B, K, H // K * L, E)  # (B, K, H/K * L, E)
        scores = (rows @ key.transpose(-2, -1)).view(B, H, L, S)  # (B, H, L, S)
        mask = torch.ones(L, S, dtype=torch.bool, device=x.device).tril(diagonal=start)  # (L, S)
        weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)  # (B, H, L, S)
        output = (weights.view(B, K, H // K * L, S) @ value).view(B, H, L, E)  # (B, H, L, E)
        return self.o_proj(output.transpose(1, 2).flatten(2))  # (B, L, D)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, H or K, L, E)

    def _rotate(self, x: Tensor, start: int) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)  # bfloat16 has no positions above 256 one by one
        pairs = torch.arange(0, self.head_dim, 2, device=x.device, dtype=dtype)  # (E/2)
        positions = torch.arange(start, start + x.size(-2), device=x.device, dtype=dtype)  # (L)
        angles = torch.outer(positions, self.rope_base ** (-pairs / self.head_dim))  # (L, E/2)
        a, b = x.chunk(2, dim=-1)  # (B, H or K, L, E/2) twice
        turned = torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], dim=-1)
        return turned.to(x.dtype)  # (B, H or K, L, E)
