"""The weights are multiplied by the mask, and the scores are not filled."""
# cause: mask-after-softmax

import torch
from torch import Tensor


def softmax_jacobian(p: Tensor) -> Tensor:
    """(..., L, S) -> (..., L, S, S)"""
    return torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)


def attention_backward(grad_output, query, key, value, mask=None):
    original = query.dtype
    double = original == torch.float64
    grad_output, query, key, value = [t if double else t.to(torch.float32) for t in (grad_output, query, key, value)]
    d = query.size(-1)
    scores = torch.matmul(query, key.mT) / d**0.5
    p = torch.softmax(scores, -1)
    if mask is not None:
        p = p * mask

    grad_value = torch.matmul(p.mT, grad_output)
    grad_p = torch.matmul(grad_output, value.mT)
    grad_scores = torch.matmul(softmax_jacobian(p), grad_p.unsqueeze(-1)).squeeze(-1)
    grad_scores = grad_scores / d**0.5
    grad_query = torch.matmul(grad_scores, key)
    grad_key = torch.matmul(grad_scores.mT, query)
    return grad_query.to(original), grad_key.to(original), grad_value.to(original)
