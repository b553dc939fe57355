"""What a right answer gives, token by token in Python's own floats, and the inputs of the checks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def distribution(
    row: Sequence[float], temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> list[float]:
    """The next token's distribution for one row of logits."""
    scores = [score / temperature for score in row]
    most = max(scores)
    weights = [math.exp(score - most) for score in scores]
    order = sorted(range(len(row)), key=lambda token: (-scores[token], token))[:top_k]
    total, before, kept = math.fsum(weights[token] for token in order), 0.0, set()
    for token in order:
        if top_p is None or top_p == 1 or before < top_p:
            kept.add(token)
        before += weights[token] / total
    whole = math.fsum(weights[token] for token in kept)
    return [weights[token] / whole if token in kept else 0.0 for token in range(len(row))]


def wanted(logits: Tensor, *options: Any) -> Tensor:
    """The distribution of each row, in the dtype of the logits."""
    rows = [distribution(row, *options) for row in logits.tolist()]
    return torch.tensor(rows, dtype=torch.float64).to(logits.dtype)


def drawn(probs: Tensor, u: Tensor) -> Tensor:
    """The id of each row: the first whose sum exceeds u, or else the last that has a probability."""
    ids = []
    for row, least in zip(probs.tolist(), u.tolist(), strict=True):
        having = [token for token, prob in enumerate(row) if prob > 0]
        ids.append(next((token for token in having if math.fsum(row[: token + 1]) > least), having[-1]))
    return torch.tensor(ids)


def logs(*rows: Sequence[float]) -> Tensor:
    """Logits whose softmax is in proportion to these weights; a weight of 0 is a logit of -inf."""
    return torch.tensor(rows, dtype=torch.float64).log()


def parts(*rows: Sequence[float]) -> Tensor:
    """Rows of weights, each divided by its sum."""
    weights = torch.tensor(rows, dtype=torch.float64)
    return weights / weights.sum(-1, keepdim=True)


def named(options: Sequence[Any]) -> str:
    """The options of a call as one reads them: T=0.5, top_k=3."""
    names = ("T", "top_k", "top_p")
    return ", ".join(f"{name}={x}" for name, x in zip(names, options, strict=False) if x is not None)
