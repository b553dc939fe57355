"""The exponentials are taken from the block's own maximum."""
# cause: block-maximum-for-running

import math

import torch
import torch.nn.functional as F


def blockwise_attention(query, key, value, mask=None, block_size=32):
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size}")
    acc = torch.float64 if query.dtype == torch.float64 else torch.float32
    q, k, v = (x.to(acc) for x in (query, key, value))
    S = k.shape[-2]
    extra = -S % block_size
    k, v = F.pad(k, (0, 0, 0, extra)), F.pad(v, (0, 0, 0, extra))
    blocks = (S + extra) // block_size
    k = k.unflatten(-2, (blocks, block_size))
    v = v.unflatten(-2, (blocks, block_size))
    allowed = None if mask is None else F.pad(mask.expand(q.shape[:-1] + (S,)), (0, extra))
    real = torch.arange(S + extra) < S

    biggest = torch.full(q.shape[:-1], -torch.inf, dtype=acc)
    denominator = torch.zeros(q.shape[:-1], dtype=acc)
    numerator = torch.zeros(q.shape[:-1] + v.shape[-1:], dtype=acc)
    for b in range(blocks):
        where = slice(b * block_size, (b + 1) * block_size)
        logits = q @ k[..., b, :, :].mT / math.sqrt(q.shape[-1])
        visible = real[where] if allowed is None else real[where] & allowed[..., where]
        logits = logits.masked_fill(~visible, -torch.inf)
        now = torch.maximum(biggest, logits.amax(-1).detach())
        ref = now.nan_to_num(neginf=0.0)
        scale_old = (biggest - ref).exp()
        own = logits.amax(-1).detach().nan_to_num(neginf=0.0)
        e = (logits - own[..., None]).exp()
        denominator = denominator * scale_old + e.sum(-1)
        numerator = numerator * scale_old[..., None] + e @ v[..., b, :, :]
        biggest = now
    some = denominator > 0
    denominator = denominator.masked_fill(~some, 1)
    return (numerator / denominator[..., None]).to(query.dtype), biggest + denominator.log()


def merge(output_a, lse_a, output_b, lse_b):
    lse = _logaddexp(lse_a, lse_b)
    ref = lse.nan_to_num(neginf=0.0)
    out = (lse_a - ref).exp()[..., None] * output_a + (lse_b - ref).exp()[..., None] * output_b
    return out.to(output_a.dtype), lse


def _logaddexp(a, b):
    """torch.logaddexp, with a gradient where both are -inf."""
    none = torch.isneginf(a) & torch.isneginf(b)
    return torch.logaddexp(a.masked_fill(none, 0), b.masked_fill(none, 0)).masked_fill(none, -torch.inf)
