"""Divide and conquer: the keys are halved until a block is left, and the halves are merged on the way back."""

import math

import torch
from torch import Tensor


def _leaf(q: Tensor, k: Tensor, v: Tensor, m: Tensor | None) -> tuple[Tensor, Tensor]:
    s = torch.einsum("...le,...se->...ls", q, k)
    if m is not None:
        s = s.masked_fill(m.logical_not(), -math.inf)
    top = s.detach().amax(-1, keepdim=True).clamp(min=torch.finfo(s.dtype).min)
    e = (s - top).exp()
    z = e.sum(-1, keepdim=True)
    hit = z > 0
    z = z.where(hit, 1)
    return torch.einsum("...ls,...sv->...lv", e / z, v), (top + z.log()).where(hit, -math.inf).squeeze(-1)


def _tree(q: Tensor, k: Tensor, v: Tensor, m: Tensor | None, size: int) -> tuple[Tensor, Tensor]:
    n = k.shape[-2]
    if n <= size:
        return _leaf(q, k, v, m)
    h = n // 2
    left = _tree(q, k[..., :h, :], v[..., :h, :], None if m is None else m[..., :h], size)
    right = _tree(q, k[..., h:, :], v[..., h:, :], None if m is None else m[..., h:], size)
    return merge(*left, *right)


def blockwise_attention(query, key, value, mask=None, block_size=32):
    if block_size < 1:
        raise ValueError(f"block_size={block_size}")
    acc = torch.promote_types(query.dtype, torch.float32)
    q = query.to(acc) * query.shape[-1] ** -0.5
    m = None if mask is None else mask.expand(query.shape[:-1] + key.shape[-2:-1])
    out, lse = _tree(q, key.to(acc), value.to(acc), m, block_size)
    return out.to(query.dtype), lse


def merge(output_a, lse_a, output_b, lse_b):
    top = torch.maximum(lse_a, lse_b).detach().clamp(min=torch.finfo(lse_a.dtype).min)
    a, b = (lse_a - top).exp(), (lse_b - top).exp()
    z = a + b
    hit = z > 0
    z = z.where(hit, 1)
    out = (a / z)[..., None] * output_a + (b / z)[..., None] * output_b
    return out.to(output_a.dtype), (top + z.log()).where(hit, -math.inf)
