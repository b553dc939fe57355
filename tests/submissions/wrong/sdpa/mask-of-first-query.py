"""The row of the first query is used for all queries, as if the mask were padding of the keys."""
# cause: mask-of-first-query

import math
import torch

def scaled_dot_product_attention(query, key, value, mask=None):
    ct = torch.promote_types(query.dtype, torch.float32)
    q, k, v = query.to(ct), key.to(ct), value.to(ct)
    scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(q.shape[-1])
    if mask is not None:
        mask = mask[..., :1, :]  # which keys are padding
        scores = scores.masked_fill(~mask, torch.finfo(ct).min)
    weights = torch.softmax(scores, dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    out = torch.matmul(weights, v)
    return out.to(query.dtype)
