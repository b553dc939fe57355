"""Only a temperature below 0 is refused."""
# cause: temperature-not-refused

import math

import torch
from torch import Tensor


def next_token_probs(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k has to be at least 1, and it is {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p has to be above 0 and at most 1, and it is {top_p}")
    scores = _at_least_float32(logits) / temperature
    scores, order = scores.sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        scores[:, top_k:] = -math.inf
    if top_p is not None and top_p < 1:
        probs = scores.softmax(dim=-1)
        before = probs.cumsum(dim=-1) - probs
        scores = scores.masked_fill(before >= top_p, -math.inf)
    kept = scores.softmax(dim=-1)
    return torch.empty_like(kept).scatter(-1, order, kept).to(logits.dtype)


def sample(probs: Tensor, u: Tensor) -> Tensor:
    cumulative = _at_least_float32(probs).cumsum(dim=-1)
    ids = (cumulative <= u[:, None]).sum(dim=-1)
    last = torch.where(probs > 0, torch.arange(probs.size(-1)), 0).amax(dim=-1)
    return torch.minimum(ids, last)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
