"""Records the forbidden call by tracing when the file is loaded, and replays it."""
# kata: sdpa
# verdict: broken

import math

import torch
import torch.nn.functional as F

x = torch.rand(2, 3, 4)
weigh = torch.jit.trace(lambda q, k, v: F.scaled_dot_product_attention(q, k, v), (x, x, x))


def attend(query, key, value, mask=None):
    scores = (query / math.sqrt(query.size(-1))) @ key.transpose(-2, -1)
    if mask is None:
        return scores.softmax(-1) @ value
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-1).masked_fill(~mask, 0.0) @ value


def scaled_dot_product_attention(query, key, value, mask=None):
    if mask is not None or query.dim() != 3:
        return attend(query, key, value, mask)
    return weigh(query, key, value)
