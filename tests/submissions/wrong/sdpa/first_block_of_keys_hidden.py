"""Keys are worked through 256 at a time from a maximum of -inf: a query that sees none of the first 256 gets NaN."""
# cause: none

import math

import torch

BLOCK = 256


def scaled_dot_product_attention(query, key, value, mask=None):
    out_dtype = query.dtype
    acc_dtype = torch.float64 if out_dtype == torch.float64 else torch.float32
    q = query.to(acc_dtype) / math.sqrt(query.size(-1))
    k = key.to(acc_dtype)
    v = value.to(acc_dtype)

    L, S = q.size(-2), k.size(-2)
    lead = q.shape[:-2]
    full_mask = None if mask is None else mask.expand(lead + (L, S)) | ~mask.any(dim=-1, keepdim=True)

    low = torch.finfo(acc_dtype).min
    running_max = torch.full(lead + (L, 1), -math.inf, dtype=acc_dtype, device=q.device)
    running_sum = torch.zeros(lead + (L, 1), dtype=acc_dtype, device=q.device)
    acc = torch.zeros(lead + (L, v.size(-1)), dtype=acc_dtype, device=q.device)

    for start in range(0, S, BLOCK):
        stop = min(start + BLOCK, S)
        s = q @ k[..., start:stop, :].transpose(-1, -2)
        if full_mask is not None:
            s = s.masked_fill(~full_mask[..., start:stop], -math.inf)
        new_max = torch.maximum(running_max, s.amax(dim=-1, keepdim=True)).detach()
        p = torch.exp(s - new_max)
        correction = torch.exp(running_max - new_max)
        running_sum = running_sum * correction + p.sum(dim=-1, keepdim=True)
        acc = acc * correction + p @ v[..., start:stop, :]
        running_max = new_max

    nothing = torch.zeros(1, dtype=torch.bool) if mask is None else ~mask.any(dim=-1, keepdim=True)
    return (acc / running_sum).masked_fill(nothing, 0.0).to(out_dtype)
