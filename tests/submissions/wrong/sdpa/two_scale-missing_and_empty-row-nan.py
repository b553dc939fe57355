"""The scores are not scaled by 1/sqrt(head_dim); a query that may attend to nothing has a softmax of
-inf alone, which is NaN, and is not set to zero."""
# cause: scale-missing, empty-row-nan

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1))

    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))

    weights = torch.softmax(scores, dim=-1)

    return torch.matmul(weights, value)
