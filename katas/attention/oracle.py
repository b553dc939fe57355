"""PyTorch's own attention with a layer's weights: what the graders compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


def layer_weights(
    draw: Callable[..., Tensor], d_model: int, num_heads: int, num_kv_heads: int, bias: bool = True
) -> Weights:
    """Distinct random weights, float64, wide enough that a wrong scale of the scores shows.

    Returns:
        the state_dict of a layer: q_proj, k_proj, v_proj, o_proj; k_proj and v_proj have num_kv_heads * head_dim rows.
    """
    narrow = num_kv_heads * (d_model // num_heads)
    rows = {"q_proj": d_model, "k_proj": narrow, "v_proj": narrow, "o_proj": d_model}
    parts = draw(sum(rows.values()), d_model, scale=1.3 / d_model**0.5).split_with_sizes([*rows.values()])
    weights = {f"{name}.weight": part for name, part in zip(rows, parts, strict=True)}
    if bias:
        parts = draw(sum(rows.values())).split_with_sizes([*rows.values()])
        weights |= {f"{name}.bias": part for name, part in zip(rows, parts, strict=True)}
    return weights


def plain_weights(d_model: int, num_heads: int, num_kv_heads: int, **scales: float) -> Weights:
    """Projections that copy: the identity (its first rows for k_proj and v_proj), times a scale; biases zero.

    Args:
        scales: q_proj=0.0 makes every score zero, v_proj=2.0 doubles the values; 1.0 where none is given.
    """
    narrow = num_kv_heads * (d_model // num_heads)
    weights = {}
    for name, rows in (("q_proj", d_model), ("k_proj", narrow), ("v_proj", narrow), ("o_proj", d_model)):
        weights[f"{name}.weight"] = torch.eye(rows, d_model, dtype=torch.float64) * scales.get(name, 1.0)
        weights[f"{name}.bias"] = torch.zeros(rows, dtype=torch.float64)
    return weights


def project(x: Tensor, weights: Mapping[str, Tensor], name: str) -> Tensor:
    """A projection: (..., D) -> (..., rows of its weight)."""
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def split(x: Tensor, head_dim: int) -> Tensor:
    """(B, L, heads * E) -> (B, heads, L, E)."""
    batch, length, width = x.shape
    return x.reshape(batch, length, width // head_dim, head_dim).transpose(1, 2)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weights: Mapping[str, Tensor],
    num_heads: int,
    mask: Tensor | None = None,
) -> Tensor:
    """A layer's output by F.scaled_dot_product_attention, for any number of key/value heads.

    Args:
        query, key, value: (B, L, D), (B, S, D), (B, S, D).
        weights: as from layer_weights.
        mask: bool (L, S), (B, L, S) or (B, 1 or H, L, S).
    """
    head_dim = query.size(-1) // num_heads
    q, k, v = (
        split(project(x, weights, n), head_dim) for x, n in ((query, "q_proj"), (key, "k_proj"), (value, "v_proj"))
    )
    mask = mask.unsqueeze(1) if mask is not None and mask.dim() == 3 else mask
    heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    return project(heads.transpose(1, 2).flatten(2), weights, "o_proj")


def attend_cached(
    x: Tensor, cache: tuple[Tensor, Tensor] | None, weights: Mapping[str, Tensor], num_heads: int
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Causal self-attention of the new tokens x (B, L, D) over a cache, two of (B, K, past, E), and x."""
    head_dim = x.size(-1) // num_heads
    q, k, v = (split(project(x, weights, name), head_dim) for name in ("q_proj", "k_proj", "v_proj"))
    if cache is not None:
        k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
    new, length = q.size(2), k.size(2)
    mask = torch.arange(length) <= torch.arange(new)[:, None] + length - new
    heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    return project(heads.transpose(1, 2).flatten(2), weights, "o_proj"), (k, v)
