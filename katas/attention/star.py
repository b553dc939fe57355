"""The efficiency star: whether a decode step copies the keys and values for each query head. It never fails anybody.

One new token attends to many; what its step holds at a time is counted in the candidate (candidate/meter.py), in sizes
of the step's keys and values. Projecting or concatenating them takes one, einsum may take another to bring them into
order, and scores are small beside them. A copy for each query head takes H / K of them for keys and for values: half
of that at least, where the copy of the keys is gone before that of the values is made. The bound lies half way to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from grading.candidate.learner import Learner
from grading.records import CheckFailed, Star
from grading.texts import ENGLISH, Texts

HEAD_DIM = 16
BATCH = 8  # with one sequence PyTorch's broadcasting sometimes does without a copy
TOKENS = 128  # the weights are small beside the cache of the batch; and a loop over tokens takes no time

# Llama-3-8B ("The Llama 3 Herd of Models", table 3), bfloat16; and a context for it
LAYERS, LLAMA_HEADS, LLAMA_KV_HEADS, LLAMA_HEAD_DIM, BYTES, CONTEXT = 32, 32, 8, 128, 2, 8192


@dataclass(frozen=True)
class DecodeStar:
    """The star of a kata whose layer has so many query heads and key/value heads in the step that is counted.

    Args:
        cached: whether the layer takes a cache of the tokens instead of the tokens.
    """

    heads: int
    kv_heads: int
    cached: bool = False

    @property
    def bound(self) -> float:
        """In sizes of the keys and values: themselves, and half of the least that a copy for each query head takes."""
        return 1 + self.heads / self.kv_heads / 4

    def __call__(self, learner: Learner) -> Star | None:
        """The star of a kata that passed; None where its code cannot answer."""
        try:
            peak = round(self._peak(learner), 2)
        except (CheckFailed, KeyError, TypeError, ValueError):
            return None
        found = Star(True, peak) if peak < self.bound else self._cost(peak)
        return replace(found, text=Texts(ENGLISH).star(found))

    def _peak(self, learner: Learner) -> float:
        d_model = self.heads * HEAD_DIM
        new, tokens = torch.ones(BATCH, 1, d_model), torch.ones(1, 1, 1).expand(BATCH, TOKENS, d_model)
        make: Any = getattr(learner, learner.kata.symbols[0])
        layer = make(d_model, self.heads, *([self.kv_heads] if self.kv_heads > 1 else []))
        half = torch.ones(1, 1, 1, 1).expand(BATCH, self.kv_heads, TOKENS, HEAD_DIM)
        taken = layer.peak(new, (half, half)) if self.cached else layer.peak(new, tokens, tokens)
        return float(taken) / (2 * BATCH * self.kv_heads * TOKENS * HEAD_DIM * new.element_size())

    def _cost(self, peak: float) -> Star:
        """What the copies come to in a real model."""
        kv_heads = 1 if self.kv_heads == 1 else LLAMA_KV_HEADS
        times = LLAMA_HEADS // kv_heads
        cache = 2 * LAYERS * kv_heads * LLAMA_HEAD_DIM * BYTES * CONTEXT / 2**30
        return Star(False, peak, "", times, kv_heads, CONTEXT, cache, times * cache)
