"""Five dimensions become four by joining the first ones, in the mask before it is expanded."""
# cause: none

import math

import torch
from torch import Tensor


def attention_backward(
    grad_output: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    dtype, scale = query.dtype, 1 / math.sqrt(query.size(-1))
    work = torch.promote_types(dtype, torch.float32)
    grad_output, query, key, value = (each.to(work) for each in (grad_output, query, key, value))
    shapes = query.shape, key.shape, value.shape
    if query.dim() > 4:
        grad_output, query, key, value = (each.flatten(0, -4) for each in (grad_output, query, key, value))
        mask = mask.flatten(0, -4) if mask is not None and mask.dim() > 4 else mask
    weights = (query * scale) @ key.transpose(-2, -1)  # (..., L, S), the scores first
    if mask is not None:
        weights.masked_fill_(~mask, torch.finfo(work).min)
    weights = weights.softmax(dim=-1)  # (..., L, S)
    if mask is not None:
        weights.masked_fill_(~mask, 0.0)  # a row without keys has no weights
    # what each weight's gradient is compared with: the mean of its row by the weights, which is grad_output . output
    row_sum = (grad_output * (weights @ value)).sum(dim=-1, keepdim=True)  # (..., L, 1)
    grad_scores = (grad_output @ value.transpose(-2, -1)).sub_(row_sum).mul_(weights)  # (..., L, S)
    grad_query = (grad_scores @ key) * scale  # (..., L, E)
    grad_key = grad_scores.transpose(-2, -1) @ (query * scale)  # (..., S, E)
    grad_value = weights.transpose(-2, -1) @ grad_output  # (..., S, Ev)
    return tuple(each.reshape(x).to(dtype) for each, x in zip((grad_query, grad_key, grad_value), shapes))
