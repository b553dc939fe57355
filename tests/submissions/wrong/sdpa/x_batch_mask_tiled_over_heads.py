"""A (B, 1, L, S) mask is tiled over the folded heads instead of repeated in place."""
# cause: mask-tiled-over-leading

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    batch_shape = query.shape[:-2]
    L, E = query.shape[-2:]
    S, Ev = value.shape[-2:]
    dtype = query.dtype
    if dtype is torch.float16 or dtype is torch.bfloat16:
        query, key, value = query.to(torch.float32), key.to(torch.float32), value.to(torch.float32)

    q = query.reshape(-1, L, E)
    k = key.reshape(-1, S, E)
    v = value.reshape(-1, S, Ev)
    bias = q.new_zeros(q.size(0), L, S)
    alive = None
    if mask is not None:
        m = mask.expand(mask.shape[:-2] + (L, S)).reshape(-1, L, S)
        m = m.repeat(q.size(0) // m.size(0), 1, 1)
        bias = bias.masked_fill(~m, torch.finfo(q.dtype).min)
        alive = m.any(dim=-1, keepdim=True)

    scores = torch.baddbmm(bias, q, k.transpose(1, 2), beta=1.0, alpha=1.0 / E**0.5)
    weights = torch.softmax(scores, dim=-1)
    if alive is not None:
        weights = weights * alive
    return torch.bmm(weights, v).reshape(batch_shape + (L, Ev)).to(dtype)
