"""The query is scaled in place."""
# cause: query-changed-in-place

import math

import torch


def blockwise_attention(query, key, value, mask=None, block_size=32):
    if not block_size > 0:
        raise ValueError("a block holds at least one key")
    half = query.dtype.itemsize == 2
    query = query.mul_(query.shape[-1] ** -0.5)
    q, k, v = (t.float() if half else t for t in (query, key, value))
    rows, S = q.shape[:-1], k.shape[-2]
    allowed = None if mask is None else mask.expand(rows + (S,))

    def scores(i):
        s = q @ k[..., i : i + block_size, :].mT
        return s if allowed is None else s.masked_fill(~allowed[..., i : i + block_size], -math.inf)

    # the largest score, without a gradient: it cancels
    top = q.new_full(rows, -math.inf)
    for i in range(0, S, block_size):
        top = torch.maximum(top, scores(i).detach().amax(-1))
    seen = top > -math.inf
    top = top.where(seen, 0.0).unsqueeze(-1)

    total = q.new_zeros(rows)
    for i in range(0, S, block_size):
        total = total + (scores(i) - top).exp().sum(-1)
    lse = top.squeeze(-1) + total.where(seen, 1.0).log()

    out = q.new_zeros(rows + (v.shape[-1],))
    for i in range(0, S, block_size):
        out = out + (scores(i) - lse.unsqueeze(-1)).exp() @ v[..., i : i + block_size, :]
    return out.to(query.dtype), lse.where(seen, -math.inf)


def merge(output_a, lse_a, output_b, lse_b):
    seen = (lse_a > -math.inf) | (lse_b > -math.inf)
    lse_a, lse_b = lse_a.where(seen, 0.0), lse_b.where(seen, 0.0)
    lse = torch.logaddexp(lse_a, lse_b)
    a, b = (lse_a - lse).exp().where(seen, 0.0), (lse_b - lse).exp().where(seen, 0.0)
    out = output_a * a.unsqueeze(-1) + output_b * b.unsqueeze(-1)
    return out.to(output_a.dtype), lse.where(seen, -math.inf)
