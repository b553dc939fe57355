"""The denominator of the softmax has one more term, exp(0) in terms of the largest score."""
# cause: softmax-plus-one

from math import inf

import torch
from torch import Tensor


def log_softmax(x: Tensor) -> Tensor:
    top = x.max(dim=-1, keepdim=True).values
    x = x - top.masked_fill(top == -inf, 0.0).detach()
    total = x.exp().sum(dim=-1, keepdim=True)
    # an empty row would be log(0); log(1) is as good, its exp(-inf) are zeros anyway
    total = total.masked_fill(total == 0, 1.0)  # log(0)
    return x - (1 + total).log()


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    half = query.dtype in {torch.half, torch.bfloat16}
    q, k, v = (t.float() if half else t for t in (query, key, value))
    scores = torch.matmul(q, k.mT) / (k.size(-1) ** 0.5)
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), -inf)
    weights = log_softmax(scores).exp()
    out = torch.matmul(weights, v)
    return out.to(query.dtype)
