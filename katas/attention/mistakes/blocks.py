"""Mistakes in a softmax that goes through the keys block by block, with a running maximum and a running sum.

What each of them is has no steps of its own here: attention that is written for all the scores makes it in its softmax,
and a kata whose program has the steps of the blocks makes it there.
"""

import math

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from katas.attention.program import Core


class BlocksNotRescaled(Mistake):
    """what earlier blocks of keys gave is not rescaled when a later block has a larger maximum

    Keys of earlier blocks count too much.
    """

    grouping = True
    see = "sdpa#Online-softmax"


class BlockMaximumForRunning(Mistake):
    """a block's own maximum is subtracted instead of the running one, to which its sum is then added

    Blocks whose maximum is not the largest so far count too much.
    """

    grouping = True
    see = "sdpa#Online-softmax"


class LastBlockLost(Mistake):
    """only whole blocks of keys are looked at: the keys behind the last whole block are lost

    Right where the number of keys is a multiple of the block.
    """

    grouping = True
    see = "sdpa#Online-softmax"


class Blocks(Mistake, Core):
    """Scores in blocks of `size` keys; what a mistake makes of them."""

    grouping = True
    size: int = 4

    def soften(self, scores: Tensor) -> Tensor:
        largest, running = maxima(scores, self.size)
        weights = self._powers(scores, largest, running, running[..., -1:])
        return weights / weights.sum(dim=-1, keepdim=True)

    def _powers(self, scores: Tensor, largest: Tensor, running: Tensor, last: Tensor) -> Tensor:
        """What each key counts at the end, (..., L, S), from its block's maximum and the running one."""
        raise NotImplementedError


class _NotRescaled4(BlocksNotRescaled, Blocks):
    def _powers(self, scores: Tensor, largest: Tensor, running: Tensor, last: Tensor) -> Tensor:
        return (scores - running).exp()


class _NotRescaled1(_NotRescaled4):
    size = 1


class _NotRescaled2(_NotRescaled4):
    size = 2


class _NotRescaled3(_NotRescaled4):
    size = 3


class _BlockMaximum4(BlockMaximumForRunning, Blocks):
    def _powers(self, scores: Tensor, largest: Tensor, running: Tensor, last: Tensor) -> Tensor:
        return (scores - largest).exp() * (running - last).exp()


class _BlockMaximum2(_BlockMaximum4):
    size = 2


class _BlockMaximum3(_BlockMaximum4):
    size = 3


class _LastLost4(LastBlockLost, Core):
    size: int = 4

    def temper(self) -> None:
        super().temper()
        S = self.scores.size(-1)
        self.scores = self.scores.masked_fill(torch.arange(S) >= S // self.size * self.size, -math.inf)


class _LastLost2(_LastLost4):
    size = 2


class _LastLost3(_LastLost4):
    size = 3


def maxima(scores: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """For each key the maximum of its block of that size, and the running one after it."""
    blocks = torch.split(scores, size, dim=-1)
    largest = torch.stack([block.amax(dim=-1) for block in blocks], dim=-1).clamp(min=-1e30)  # of -inf alone
    index = torch.arange(scores.size(-1)) // size
    return largest[..., index], largest.cummax(dim=-1).values[..., index]
