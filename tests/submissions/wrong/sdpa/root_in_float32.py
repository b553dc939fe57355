"""The root of E is a float32 tensor, so that float64 results agree to 8 digits."""
# cause: root-in-float32

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = (query / torch.sqrt(torch.tensor(float(query.size(-1))))) @ key.mT
    if mask is None:
        return scores.softmax(-1) @ value
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * mask) @ value
