"""block_size is checked and ignored; the accumulator starts anew every 32 keys."""
# cause: none

import math

import torch


def blockwise_attention(query, key, value, mask=None, block_size=32):
    if block_size < 1:
        raise ValueError("block_size < 1")
    dtype = query.dtype
    up = torch.float32 if dtype in (torch.half, torch.bfloat16) else dtype
    q, k, v = query.to(up), key.to(up), value.to(up)
    shape = q.shape[:-1]
    if mask is not None:
        mask = torch.broadcast_to(mask, shape + (k.shape[-2],))

    mean = torch.zeros(shape + (v.shape[-1],), dtype=up)
    lse = torch.full(shape, -math.inf, dtype=up)
    begin = 0
    while begin < k.shape[-2]:
        end = begin + 32
        mean = mean * 0 if begin % 64 == 32 else mean
        scores = q @ k[..., begin:end, :].transpose(-2, -1)
        scores = scores / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(mask[..., begin:end].logical_not(), -math.inf)
        everything = torch.cat([lse.unsqueeze(-1), scores], dim=-1)
        blind = torch.isneginf(everything).all(-1)
        everything = everything.masked_fill(blind.unsqueeze(-1), 0.0)
        new = torch.logsumexp(everything, dim=-1)
        weights = torch.exp(everything - new.unsqueeze(-1)).masked_fill(blind.unsqueeze(-1), 0.0)
        mean = weights[..., :1] * mean + weights[..., 1:] @ v[..., begin:end, :]
        lse = new.masked_fill(blind, -math.inf)
        begin = end
    return mean.to(dtype), lse


def merge(output_a, lse_a, output_b, lse_b):
    everything = torch.stack([lse_a, lse_b], dim=-1)
    blind = torch.isneginf(everything).all(-1)
    everything = everything.masked_fill(blind.unsqueeze(-1), 0.0)
    new = torch.logsumexp(everything, dim=-1)
    weights = torch.exp(everything - new.unsqueeze(-1)).masked_fill(blind.unsqueeze(-1), 0.0)
    mean = weights[..., :1] * output_a + weights[..., 1:] * output_b
    return mean.to(output_a.dtype), new.masked_fill(blind, -math.inf)
