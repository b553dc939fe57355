"""The efficiency star: what a step holds in memory, counted in the candidate (candidate/meter.py). It fails nobody.

A star counts in a unit of its own, such as the size of the cache, and says what the answer costs in a real model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from grading.candidate.learner import Learner
from grading.records import CheckFailed, Star

HEAD_DIM = 16
BATCH = 8  # with one sequence PyTorch's broadcasting sometimes does without a copy
TOKENS = 128  # the weights are small beside the cache of the batch; and a loop over tokens takes no time

# Llama-3-8B ("The Llama 3 Herd of Models", table 3), bfloat16; and a context for it
LAYERS, LLAMA_HEADS, LLAMA_KV_HEADS, LLAMA_HEAD_DIM, BYTES, CONTEXT = 32, 32, 8, 128, 2, 8192


class MemoryStar:
    """A star for holding no more at a time than a step has to.

    Attributes:
        templates: what may be said about it, with the names of figures in braces.
    """

    templates: ClassVar[tuple[str, ...]]

    def __call__(self, learner: Learner) -> Star | None:
        """The star of a kata that passed; None where its code cannot answer."""
        try:
            peak = round(self.peak(learner), 2)
        except (CheckFailed, KeyError, TypeError, ValueError):
            return None
        template, figures = self.said(peak)
        return Star(peak < self.bound, peak, template.format(**figures), template, figures)

    @property
    def bound(self) -> float:
        """What the peak has to stay under."""
        raise NotImplementedError

    def peak(self, learner: Learner) -> float:
        """The most that a step holds at a time, in the unit of the star."""
        raise NotImplementedError

    def said(self, peak: float) -> tuple[str, dict[str, float]]:
        """One of the templates, and its figures."""
        raise NotImplementedError


def cache_gib(kv_heads: int) -> float:
    """The size of the keys and values of a context, in a model as large as Llama-3-8B with so many key/value heads."""
    return 2 * LAYERS * kv_heads * LLAMA_HEAD_DIM * BYTES * CONTEXT / 2**30


@dataclass(frozen=True)
class DecodeStar(MemoryStar):
    """Whether a decode step copies the keys and values for each query head.

    One new token attends to many; what its step holds is counted in sizes of the step's keys and values. Projecting or
    concatenating them takes one, einsum may take another to bring them into order, and scores are small beside them. A
    copy for each query head takes H / K of them for keys and for values: half of that at least, where the copy of the
    keys is gone before that of the values is made. The bound lies half way to it.

    Args:
        heads, kv_heads: of the layer that is counted.
        cached: whether the layer takes a cache of the tokens instead of the tokens.
    """

    templates = (
        "right; copies nothing per query head",
        "right; a step copies each key/value head {times} times, as PyTorch does where it broadcasts: at Llama-3-8B "
        "size and {tokens:,} tokens a step writes {copies:.3g} GiB of copies of a {cache:.3g} GiB cache",
        "right; a step copies the key/value head {times} times, as PyTorch does where it broadcasts: at Llama-3-8B "
        "size, with one such head, and {tokens:,} tokens a step writes {copies:.3g} GiB of copies of a {cache:.3g} GiB "
        "cache",
    )

    heads: int
    kv_heads: int
    cached: bool = False

    @property
    def bound(self) -> float:
        """In sizes of the keys and values: themselves, and half of the least that a copy for each query head takes."""
        return 1 + self.heads / self.kv_heads / 4

    def peak(self, learner: Learner) -> float:
        d_model = self.heads * HEAD_DIM
        new, tokens = torch.ones(BATCH, 1, d_model), torch.ones(1, 1, 1).expand(BATCH, TOKENS, d_model)
        make: Any = getattr(learner, learner.kata.symbols[0])
        layer = make(d_model, self.heads, *([self.kv_heads] if self.kv_heads > 1 else []))
        half = torch.ones(1, 1, 1, 1).expand(BATCH, self.kv_heads, TOKENS, HEAD_DIM)
        taken = layer.peak(new, (half, half)) if self.cached else layer.peak(new, tokens, tokens)
        return float(taken) / (2 * BATCH * self.kv_heads * TOKENS * HEAD_DIM * new.element_size())

    def said(self, peak: float) -> tuple[str, dict[str, float]]:
        if peak < self.bound:
            return self.templates[0], {}
        kv_heads = 1 if self.kv_heads == 1 else LLAMA_KV_HEADS
        times, cache = LLAMA_HEADS // kv_heads, cache_gib(kv_heads)
        return self.templates[2 if kv_heads == 1 else 1], {
            "times": times,
            "tokens": CONTEXT,
            "cache": cache,
            "copies": times * cache,
        }
