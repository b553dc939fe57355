"""The softmax runs over queries and keys together, as after flatten(-2)."""
# cause: softmax-over-all

import math
import torch

def scaled_dot_product_attention(query, key, value, mask=None):
    ct = torch.promote_types(query.dtype, torch.float32)
    q, k, v = query.to(ct), key.to(ct), value.to(ct)
    scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(ct).min)
    weights = torch.softmax(scores.flatten(-2), dim=-1).view_as(scores)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    out = torch.matmul(weights, v)
    return out.to(query.dtype)
