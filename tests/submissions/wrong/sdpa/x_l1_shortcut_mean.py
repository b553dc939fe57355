"""With one key the value is returned as it is, whatever the mask says."""
# cause: none

import math
import torch

def scaled_dot_product_attention(query, key, value, mask=None):
    ct = torch.promote_types(query.dtype, torch.float32)
    q, k, v = query.to(ct), key.to(ct), value.to(ct)
    scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(ct).min)
    weights = torch.softmax(scores, dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    if k.shape[-2] == 1: return value.expand(*query.shape[:-1], value.shape[-1]).clone()
    out = torch.matmul(weights, v)
    return out.to(query.dtype)
