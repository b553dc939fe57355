"""Powers of two, of scores as they are, and a product with the values that has features before queries."""
# cause: softmax-base-2, softmax-without-maximum, value-transposed

import math

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    ct = torch.promote_types(query.dtype, torch.float32)
    q, k, v = query.to(ct), key.to(ct), value.to(ct)

    s = (q / math.sqrt(q.size(-1))) @ k.transpose(-2, -1)
    if mask is not None:
        s = s.masked_fill(~mask, -math.inf)

    powers = 2.0 ** s
    z = powers.sum(dim=-1, keepdim=True)
    if mask is not None:
        # a query without any key: 0 / 1 and not 0 / 0
        z = z.masked_fill(~mask.any(dim=-1, keepdim=True), 1.0)
    w = powers / z

    y = v.transpose(-2, -1) @ w.transpose(-2, -1)
    return y.to(query.dtype)
