"""No blocks of keys at all: one query at a time over all the keys, a plain loop over the leading dimensions too."""

import itertools
import math

import torch


def blockwise_attention(query, key, value, mask=None, block_size=32):
    if block_size < 1:
        raise ValueError("block_size")
    kind = query.dtype
    if kind != torch.float64:
        query, key, value = (t.float() for t in (query, key, value))
    lead, length = query.shape[:-2], query.shape[-2]
    if mask is not None:
        mask = mask.expand(*lead, length, key.shape[-2])
    outs, lses = [], []
    for index in itertools.product(*map(range, lead), range(length)):
        where = index[:-1]
        scores = key[where] @ query[index] / math.sqrt(query.shape[-1])
        values = value[where]
        if mask is not None:
            scores, values = scores[mask[index]], values[mask[index]]
        if scores.numel():
            lses.append(scores.logsumexp(0))
            outs.append(scores.softmax(0) @ values)
        else:
            lses.append(query.new_tensor(-math.inf))
            outs.append(query.new_zeros(value.shape[-1]))
    out = torch.stack(outs).reshape(*lead, length, value.shape[-1])
    return out.to(kind), torch.stack(lses).reshape(*lead, length)


def merge(output_a, lse_a, output_b, lse_b):
    swap = lse_a < lse_b
    big, small = torch.where(swap, lse_b, lse_a), torch.where(swap, lse_a, lse_b)
    hollow = big == -math.inf
    # the smaller one relative to the larger, which is never above 1
    ratio = (small - big.masked_fill(hollow, 0.0)).exp()
    more, less = torch.where(swap[..., None], output_b, output_a), torch.where(swap[..., None], output_a, output_b)
    output = (more + ratio[..., None] * less) / (1 + ratio[..., None])
    output = output.masked_fill(hollow[..., None], 0.0)
    return output.to(output_a.dtype), big + ratio.log1p()
