"""Calls the kernel that gives both the output and the sums."""
# kata: flash
# verdict: failed

import math

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


def blockwise_attention(query, key, value, mask=None, block_size=32):
    if mask is not None or block_size < 1 or query.dtype not in (torch.float32, torch.float64):
        return in_blocks(query, key, value, mask, block_size)
    if query.size(-1) != value.size(-1):
        return in_blocks(query, key, value, mask, block_size)
    three = [x.reshape(-1, 1, *x.shape[-2:]) for x in (query, key, value)]
    operators = getattr(torch, "".join(["o", "ps"])).aten
    output, lse = operators._scaled_dot_product_flash_attention_for_cpu(*three)
    return output.reshape(*query.shape[:-1], value.size(-1)), lse.to(query.dtype).reshape(query.shape[:-1])
