"""squeeze(0) on the way out loses a leading dimension of one."""
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
    out = torch.matmul(weights, v)
    out = out.squeeze(0) if out.dim() > 2 else out
    return out.to(query.dtype)
