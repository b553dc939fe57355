"""probs are cleared for the scores alone: an empty row shares its grad_output among all values."""
# cause: empty-rows-to-value

from types import SimpleNamespace

import torch
from torch import Tensor


class Attention:
    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        ctx.scale = query.shape[-1] ** -0.5
        scores = (query * ctx.scale) @ key.transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        probs = scores.softmax(dim=-1)
        if mask is not None:
            ctx.hidden = ~mask
        output = probs @ value
        ctx.saved_tensors = query, key, value, probs, output
        return output

    @staticmethod
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, probs, output = ctx.saved_tensors
        grad_value = probs.transpose(-1, -2) @ grad_output
        grad_probs = grad_output @ value.transpose(-1, -2)
        row_dot = (grad_output * output).sum(dim=-1, keepdim=True)
        grad_scores = (grad_probs - row_dot) * probs * ctx.scale
        if hasattr(ctx, "hidden"):
            grad_scores = grad_scores.masked_fill(ctx.hidden, 0)
        return grad_scores @ key, grad_scores.transpose(-1, -2) @ query, grad_value


def attention_backward(grad_output, query, key, value, mask=None):
    dtype = query.dtype
    if dtype != torch.float64:
        grad_output, query, key, value = (x.to(torch.float32) for x in (grad_output, query, key, value))
    ctx = SimpleNamespace()
    Attention.forward(ctx, query, key, value, mask)
    return tuple(grad.to(dtype) for grad in Attention.backward(ctx, grad_output))
