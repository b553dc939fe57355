"""A block of 32 keys that no query may attend to is skipped, and no zeros take its place in the gradients."""
# cause: none

import math

import torch

BLOCK = 32


@torch.no_grad()
def attention_backward(grad_output, query, key, value, mask=None):
    dtype = query.dtype
    acc = torch.promote_types(dtype, torch.float32)
    do, q, k, v = (t.to(acc) for t in (grad_output, query, key, value))
    L, S, scale = q.size(-2), k.size(-2), 1.0 / math.sqrt(q.size(-1))
    if mask is not None:
        mask = mask.expand(*q.shape[:-1], S)

    def block_scores(lo, hi):
        s = q @ k[..., lo:hi, :].mT * scale
        if mask is not None:
            s = s.masked_fill(~mask[..., lo:hi], -math.inf)
        return s

    blocks = [(lo, min(lo + BLOCK, S)) for lo in range(0, S, BLOCK)]
    blocks = [ends for ends in blocks if mask is None or mask[..., slice(*ends)].any()] or blocks[:1]
    lse = torch.full(q.shape[:-1], -math.inf, dtype=acc)
    for lo, hi in blocks:
        lse = torch.logaddexp(lse, block_scores(lo, hi).logsumexp(-1))
    lse = lse.masked_fill(lse == -math.inf, 0.0).unsqueeze(-1)

    delta = torch.zeros(*q.shape[:-1], 1, dtype=acc)
    for lo, hi in blocks:
        p = (block_scores(lo, hi) - lse).exp()
        delta += ((p @ v[..., lo:hi, :]) * do).sum(-1, keepdim=True)

    dq, dk, dv = torch.zeros_like(q), [], []
    for lo, hi in blocks:
        p = (block_scores(lo, hi) - lse).exp()
        dv.append(p.mT @ do)
        ds = p * (do @ v[..., lo:hi, :].mT - delta)
        dq += ds @ k[..., lo:hi, :] * scale
        dk.append(ds.mT @ q * scale)
    return dq.to(dtype), torch.cat(dk, -2).to(dtype), torch.cat(dv, -2).to(dtype)
