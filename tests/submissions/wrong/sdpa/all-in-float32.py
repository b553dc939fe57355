"""All of the work is done in float32 and cast back, although the inputs are float64."""
# cause: all-in-float32

import math
import torch

def scaled_dot_product_attention(query, key, value, mask=None):
    ct = torch.float32
    q, k, v = query.to(ct), key.to(ct), value.to(ct)
    scores = torch.matmul(q / math.sqrt(q.shape[-1]), k.transpose(-2, -1))
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(ct).min)
    weights = torch.softmax(scores, dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    out = torch.matmul(weights, v)
    return out.to(query.dtype)
