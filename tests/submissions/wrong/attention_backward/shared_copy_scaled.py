"""Half inputs are cast once per tensor and the copy for query is scaled in place, also where it is the key, too."""
# cause: none

import math

import torch
from torch import Tensor


def attention_backward(
    grad_output: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    dtype, scale = query.dtype, 1 / math.sqrt(query.size(-1))
    work = torch.promote_types(dtype, torch.float32)
    casts = {id(each): each.to(work) for each in (grad_output, query, key, value)}
    grad_output, query, key, value = (casts[id(each)] for each in (grad_output, query, key, value))
    query = query * scale if dtype == work else query.mul_(scale)
    weights = query @ key.transpose(-2, -1)  # (..., L, S), the scores first
    if mask is not None:
        weights.masked_fill_(~mask, torch.finfo(work).min)
    weights = weights.softmax(dim=-1)  # (..., L, S)
    if mask is not None:
        weights.masked_fill_(~mask, 0.0)  # a row without keys has no weights
    # what each weight's gradient is compared with: the mean of its row by the weights, which is grad_output . output
    row_sum = (grad_output * (weights @ value)).sum(dim=-1, keepdim=True)  # (..., L, 1)
    grad_scores = (grad_output @ value.transpose(-2, -1)).sub_(row_sum).mul_(weights)  # (..., L, S)
    grad_query = (grad_scores @ key) * scale  # (..., L, E)
    grad_key = grad_scores.transpose(-2, -1) @ query  # (..., S, E)
    grad_value = weights.transpose(-2, -1) @ grad_output  # (..., S, Ev)
    return grad_query.to(dtype), grad_key.to(dtype), grad_value.to(dtype)
