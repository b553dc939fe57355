"""The parts are averaged as if each counted alike."""
# cause: mean-of-blocks

import torch


def combine(outputs, lses):
    """outputs (n, ..., L, Ev) and lses (n, ..., L) of n parts."""
    blind = torch.isneginf(lses).all(dim=0)
    lses = lses.masked_fill(blind, 0.0)
    share = torch.full_like(lses, 1 / len(lses))
    out = torch.einsum("n...l,n...lv->...lv", share, outputs)
    return out, torch.logsumexp(lses, dim=0).masked_fill(blind, -torch.inf)


def blockwise_attention(query, key, value, mask=None, block_size=32):
    if block_size < 1:
        raise ValueError("block_size")
    acc = torch.float64 if query.dtype is torch.float64 else torch.float32
    q = query.to(acc) / torch.tensor(query.size(-1), dtype=acc).sqrt()
    S = key.size(-2)
    if mask is None:
        mask = torch.ones(1, 1, dtype=torch.bool)
    mask = mask.expand(*query.shape[:-1], S)

    outputs, lses = [], []
    for first in range(0, S, block_size):
        keys = slice(first, first + block_size)
        s = torch.einsum("...le,...se->...ls", q, key[..., keys, :].to(acc))
        s = s.masked_fill(~mask[..., keys], -torch.inf)
        blind = ~mask[..., keys].any(-1)
        s = s.masked_fill(blind[..., None], 0.0)
        lse = s.logsumexp(-1)
        p = torch.exp(s - lse[..., None]).masked_fill(blind[..., None], 0.0)
        outputs.append(p @ value[..., keys, :].to(acc))
        lses.append(lse.masked_fill(blind, -torch.inf))
    out, lse = combine(torch.stack(outputs), torch.stack(lses))
    return out.to(query.dtype), lse


def merge(output_a, lse_a, output_b, lse_b):
    outputs = torch.stack([output_a, output_b]).to(lse_a.dtype)
    out, lse = combine(outputs, torch.stack([lse_a, lse_b]))
    return out.to(output_a.dtype), lse
