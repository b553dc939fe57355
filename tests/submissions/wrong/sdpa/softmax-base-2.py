"""The softmax takes powers of 2 instead of powers of e."""
# cause: softmax-base-2

import math
import torch

def scaled_dot_product_attention(query, key, value, mask=None):
    ct = torch.promote_types(query.dtype, torch.float32)
    q, k, v = query.to(ct), key.to(ct), value.to(ct)
    scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(ct).min)
    powers = torch.exp2(scores - scores.amax(dim=-1, keepdim=True))
    weights = powers / powers.sum(dim=-1, keepdim=True)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    out = torch.matmul(weights, v)
    return out.to(query.dtype)
