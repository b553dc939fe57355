"""The filters look at the logits before the temperature, and what is left is not divided by its sum."""
# cause: temperature-after-filter, not-renormalised


import math

import torch
from torch import Tensor


def next_token_probs(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """The distribution of the next token: temperature, then top-k, then top-p (nucleus sampling).

    Args:
        logits: (B, V), float16, bfloat16, float32 or float64, not necessarily contiguous.
        temperature: what the logits are divided by, above 0; nothing below 0.01 is asked for.
        top_k: keep that many tokens, those of the highest logits; at least 1. More than V keeps all, None too.
        top_p: go through the tokens that top_k left from the most to the least probable, and keep each while the
            probability before it is below top_p. So the token that crosses top_p is kept, and at least one is. The
            probabilities are those of what top_k left: they sum to 1. Above 0; 1 drops nothing, however small a
            token's probability is, and None does not either. Where only rounding decides, either answer is right.

    Of tokens with equal logits the one with the lower id comes first, for top_k and for top_p.

    Returns:
        (B, V) in the dtype of logits, by id: a token that was dropped has 0, the others share the whole in proportion.

    Raises:
        ValueError: temperature <= 0, top_k < 1, or top_p outside (0, 1].

    Source: "The Curious Case of Neural Text Degeneration", section 3.
    """
    if temperature <= 0:
        raise ValueError(f"temperature has to be above 0, and it is {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k has to be at least 1, and it is {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p has to be above 0 and at most 1, and it is {top_p}")
    scores = _at_least_float32(logits)  # (B, V)
    scores, order = scores.sort(dim=-1, descending=True, stable=True)  # (B, V) by rank; stable: ties by id
    probs = (scores / temperature).softmax(dim=-1)  # (B, V)
    if top_k is not None:
        scores[:, top_k:] = -math.inf
    if top_p is not None and top_p < 1:
        mass = scores.softmax(dim=-1)  # (B, V)
        before = mass.cumsum(dim=-1) - mass  # (B, V), without the token itself: the one that crosses is kept
        scores = scores.masked_fill(before >= top_p, -math.inf)  # (B, V)
    kept = probs.masked_fill(scores == -math.inf, 0)  # (B, V) by rank
    return torch.empty_like(kept).scatter(-1, order, kept).to(logits.dtype)  # (B, V) by id


def sample(probs: Tensor, u: Tensor) -> Tensor:
    """Draw a token for each row, by the inverse of the cumulative distribution.

    Args:
        probs: (B, V), any floating dtype, not negative. Its rows sum to 1 but for the rounding of its dtype, and are
            taken as they are.
        u: (B,) in [0, 1), float32 or float64, whatever the dtype of probs: one number for each row.

    Returns:
        int64 (B,): the smallest id whose cumulative probability, its own included, exceeds u. Never a token of
        probability 0: where rounding leaves the sum of a row at or below u, the last token that has a probability.
    """
    cumulative = _at_least_float32(probs).cumsum(dim=-1)  # (B, V)
    ids = (cumulative <= u[:, None]).sum(dim=-1)  # (B,), V where no sum exceeds u
    last = torch.where(probs > 0, torch.arange(probs.size(-1)), 0).amax(dim=-1)  # (B,)
    return torch.minimum(ids, last)  # (B,)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
