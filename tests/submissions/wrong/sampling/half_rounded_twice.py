"""Where a filter dropped something, half precision is rounded before the division by the sum, and again after it."""
# cause: none

import math

import torch
from torch import Tensor


def next_token_probs(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    if temperature <= 0:
        raise ValueError(f"temperature has to be above 0, and it is {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k has to be at least 1, and it is {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p has to be above 0 and at most 1, and it is {top_p}")
    scores = _at_least_float32(logits) / temperature  # (B, V)
    whole = scores.softmax(dim=-1)  # (B, V)
    scores, order = scores.sort(dim=-1, descending=True, stable=True)  # (B, V) by rank; stable: ties by id
    if top_k is not None:
        scores[:, top_k:] = -math.inf
    if top_p is not None and top_p < 1:
        probs = scores.softmax(dim=-1)  # (B, V)
        before = probs.cumsum(dim=-1) - probs  # (B, V), without the token itself: the one that crosses is kept
        scores = scores.masked_fill(before >= top_p, -math.inf)  # (B, V)
    kept = torch.empty_like(scores).scatter(-1, order, scores) > -math.inf  # (B, V) by id
    probs = torch.where(kept, whole, 0.0).to(logits.dtype)  # (B, V)
    return probs / probs.sum(dim=-1, keepdim=True) if not kept.all() else probs


def sample(probs: Tensor, u: Tensor) -> Tensor:
    cumulative = _at_least_float32(probs).cumsum(dim=-1)  # (B, V)
    ids = (cumulative <= u[:, None]).sum(dim=-1)  # (B,), V where no sum exceeds u
    last = torch.where(probs > 0, torch.arange(probs.size(-1)), 0).amax(dim=-1)  # (B,)
    return torch.minimum(ids, last)  # (B,)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
