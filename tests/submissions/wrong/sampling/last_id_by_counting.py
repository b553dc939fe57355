"""The last id that has a probability is taken to be the number of tokens that have one, less one."""
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
    scores, order = scores.sort(dim=-1, descending=True, stable=True)  # (B, V) by rank; stable: ties by id
    if top_k is not None:
        scores[:, top_k:] = -math.inf
    if top_p is not None and top_p < 1:
        probs = scores.softmax(dim=-1)  # (B, V)
        before = probs.cumsum(dim=-1) - probs  # (B, V), without the token itself: the one that crosses is kept
        scores = scores.masked_fill(before >= top_p, -math.inf)  # (B, V)
    kept = scores.softmax(dim=-1)  # (B, V) by rank
    return torch.empty_like(kept).scatter(-1, order, kept).to(logits.dtype)  # (B, V) by id


def sample(probs: Tensor, u: Tensor) -> Tensor:
    cumulative = _at_least_float32(probs).cumsum(dim=-1)  # (B, V)
    ids = (cumulative <= u[:, None]).sum(dim=-1)  # (B,), V where no sum exceeds u
    last = (probs > 0).sum(dim=-1) - 1  # (B,)
    return torch.where(ids == probs.size(-1), last, ids)  # (B,)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
