"""Keys behind the last one that any query sees are not read."""

import math

import torch
from torch import Tensor


def blockwise_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, block_size: int = 32
) -> tuple[Tensor, Tensor]:
    if block_size < 1:
        raise ValueError(f"block_size has to be at least 1, not {block_size}")
    dtype = torch.promote_types(query.dtype, torch.float32)
    rows, S = query.shape[:-1], key.size(-2)
    scaled = query.to(dtype) / math.sqrt(query.size(-1))  # (..., L, E)
    mask = mask if mask is None else mask.expand(*rows, S)  # a view: a mask of one column has every block of it
    if mask is not None:
        seen = mask.flatten(0, -2).any(dim=0).nonzero()  # (n, 1)
        S = int(seen[-1]) + 1 if len(seen) else S
    top = scaled.new_full((*rows, 1), -math.inf)  # (..., L, 1)
    total, mixed = torch.zeros_like(top), scaled.new_zeros(*rows, value.size(-1))  # (..., L, 1), (..., L, Ev)
    for start in range(0, S, block_size):
        block = slice(start, min(start + block_size, S))
        scores = scaled @ key[..., block, :].to(dtype).transpose(-2, -1)  # (..., L, block)
        if mask is not None:
            scores = scores.masked_fill(~mask[..., block], -math.inf)
        largest = torch.maximum(top, scores.detach().amax(dim=-1, keepdim=True))  # (..., L, 1)
        # as long as a query has seen nothing its maximum is -inf, and -inf - -inf is NaN
        shift = largest.masked_fill(largest == -math.inf, 0.0)  # (..., L, 1)
        powers, shrink = (scores - shift).exp(), (top - shift).exp()  # (..., L, block), (..., L, 1)
        total = total * shrink + powers.sum(dim=-1, keepdim=True)  # (..., L, 1)
        mixed = mixed * shrink + powers @ value[..., block, :].to(dtype)  # (..., L, Ev)
        top = largest
    empty = total == 0
    total = total.masked_fill(empty, 1.0)  # before the division and the log, whose gradients at 0 are infinite
    lse = (top + total.log()).squeeze(-1)  # (..., L), -inf from the maximum where the row is empty
    return (mixed / total).to(query.dtype), lse


def merge(output_a: Tensor, lse_a: Tensor, output_b: Tensor, lse_b: Tensor) -> tuple[Tensor, Tensor]:
    top = torch.maximum(lse_a, lse_b).detach()  # (..., L)
    shift = top.masked_fill(top == -math.inf, 0.0)  # (..., L)
    part_a, part_b = (lse_a - shift).exp(), (lse_b - shift).exp()  # (..., L)
    total = part_a + part_b  # (..., L)
    total = total.masked_fill(total == 0, 1.0)
    mixed = part_a.unsqueeze(-1) * output_a + part_b.unsqueeze(-1) * output_b  # (..., L, Ev)
    return (mixed / total.unsqueeze(-1)).to(output_a.dtype), top + total.log()
