"""The star: how many tensors of L x S elements are held at a time, by counted bytes. It fails nobody."""

from __future__ import annotations

from typing import Any

import torch

from grading.candidate.learner import Learner
from katas.attention.star import BYTES, CONTEXT, LLAMA_HEADS, MemoryStar

HEADS, LENGTH, WIDTH = 2, 128, 2  # all that is not L x S is small beside it


class SquaresStar(MemoryStar):
    """The weights and the gradients of the scores are needed at the same time; all others can take their place.

    Counted in tensors of L x S elements, without a mask. In blocks not even these two are needed.
    """

    templates = (
        "right; two tensors of L x S elements at a time, or fewer",
        "right; holds {times:.3g} tensors of L x S elements at a time, where 2 are enough: with {heads} heads and "
        "{tokens:,} tokens in 16 bits each takes {size:.3g} GiB in a layer",
    )
    bound = 2.875  # half way, by ratio, from two to the four of a backward pass that keeps each step's result

    def peak(self, learner: Learner) -> float:
        given = [torch.linspace(-1, 1, WIDTH).expand(HEADS, LENGTH, WIDTH)] * 4
        backward: Any = learner.attention_backward
        return float(backward.peak(*given)) / (HEADS * LENGTH**2 * given[0].element_size())

    def said(self, peak: float) -> tuple[str, dict[str, float]]:
        if peak < self.bound:
            return self.templates[0], {}
        size = LLAMA_HEADS * CONTEXT**2 * BYTES / 2**30
        return self.templates[1], {"times": peak, "heads": LLAMA_HEADS, "tokens": CONTEXT, "size": size}
