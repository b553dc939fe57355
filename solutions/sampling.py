"""Sampling: from the scores of a language model to the next token by temperature, top-k and top-p.

    B batch    V size of the vocabulary    a token's id is its place in the vocabulary, from 0

- Logits may be -inf: such a token has probability 0. At least one logit of a row is finite, none is NaN or +inf.
- Work is done in at least float32, and in float64 for float64. Half precision: one rounding, at the end.
- Each row of a batch is filtered and drawn by itself. The tensors that are handed in stay as they are.

Example: a row of logits log(2), log(8), log(1), log(4), log(1) has the probabilities 2/16, 8/16, 1/16, 4/16, 1/16.

    temperature=0.5         4/86   64/86   1/86   16/86   1/86    the weights 2, 8, 1, 4, 1 are squared
    top_k=4                 2/15    8/15   1/15    4/15   0       ids 2 and 4 tie for the fourth place
    top_p=0.6               0       8/12   0       4/12   0       before id 3 there is 8/16, before id 0 it is 12/16
    top_k=2, top_p=0.6      0       1      0       0      0       of the two that are left, id 1 has 8/12
    four equal logits, top_p=0.5: 1/2, 1/2, 0, 0
    sample of the probabilities 2/16, 8/16, 1/16, 4/16, 1/16 with u = 0, 0.125, 0.7, 0.99: ids 0, 1, 3, 4
"""

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
