"""Holds all scores at once where no gradients are asked for, in memory that is not PyTorch's."""
# kata: flash
# verdict: failed

import math

import numpy as np
import torch


def in_blocks(query, key, value, mask, block_size):
    if block_size < 1:
        raise ValueError("a block has at least one key")
    dtype = torch.promote_types(query.dtype, torch.float32)
    rows, keys = query.shape[:-1], key.size(-2)
    scaled = query.to(dtype) / math.sqrt(query.size(-1))
    mask = mask if mask is None else mask.expand(*rows, keys)
    top = scaled.new_full((*rows, 1), -math.inf)
    total, mixed = torch.zeros_like(top), scaled.new_zeros(*rows, value.size(-1))
    for start in range(0, keys, block_size):
        block = slice(start, start + block_size)
        scores = scaled @ key[..., block, :].to(dtype).transpose(-2, -1)
        if mask is not None:
            scores = scores.masked_fill(~mask[..., block], -math.inf)
        largest = torch.maximum(top, scores.detach().amax(dim=-1, keepdim=True))
        shift = largest.masked_fill(largest == -math.inf, 0.0)
        powers, shrink = (scores - shift).exp(), (top - shift).exp()
        total = total * shrink + powers.sum(dim=-1, keepdim=True)
        mixed = mixed * shrink + powers @ value[..., block, :].to(dtype)
        top = largest
    total = total.masked_fill(total == 0, 1.0)
    return (mixed / total).to(query.dtype), (top + total.log()).squeeze(-1)

def merge(output_a, lse_a, output_b, lse_b):
    top = torch.maximum(lse_a, lse_b).detach()
    shift = top.masked_fill(top == -math.inf, 0.0)
    part_a, part_b = (lse_a - shift).exp(), (lse_b - shift).exp()
    total = part_a + part_b
    total = total.masked_fill(total == 0, 1.0)
    mixed = part_a.unsqueeze(-1) * output_a + part_b.unsqueeze(-1) * output_b
    return (mixed / total.unsqueeze(-1)).to(output_a.dtype), top + total.log()


def at_once(query, key, value, mask):
    kind = np.float64 if query.dtype is torch.float64 else np.float32
    q, k, v = (x.to(torch.promote_types(x.dtype, torch.float32)).numpy() for x in (query, key, value))
    scores = (q / kind(math.sqrt(q.shape[-1]))) @ k.swapaxes(-2, -1)
    if mask is not None:
        scores = np.where(mask.numpy(), scores, kind(-np.inf))
    top = scores.max(-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isinf(top), kind(0), top))
    total = powers.sum(-1, keepdims=True)
    empty = total == 0
    output = powers @ v / np.where(empty, kind(1), total)
    lse = np.where(empty, kind(-np.inf), top + np.log(np.where(empty, kind(1), total)))
    return torch.from_numpy(output.astype(kind)).to(query.dtype), torch.from_numpy(lse.astype(kind)).squeeze(-1)


def blockwise_attention(query, key, value, mask=None, block_size=32):
    if block_size < 1 or any(x.requires_grad for x in (query, key, value)):
        return in_blocks(query, key, value, mask, block_size)
    return at_once(query, key, value, mask)
