"""Mistakes in a softmax that goes through the keys block by block, with a running maximum and a running sum."""

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from katas.attention.program import Core


class Blocks(Mistake, Core):
    """Scores in blocks of `size` keys; right but for the step that a mistake overrides."""

    grouping = True
    see = "sdpa#Online-softmax"
    size: int = 4

    def normalise(self) -> None:
        S = self.scores.size(-1)
        blocks = torch.split(self.scores, self.size, dim=-1)
        largest = torch.stack([block.amax(dim=-1) for block in blocks], dim=-1).clamp(min=-1e30)  # of -inf alone
        running = largest.cummax(dim=-1).values
        index = torch.arange(S) // self.size
        weights = self._powers(largest[..., index], running[..., index], running[..., -1:])
        self.weights = weights / weights.sum(dim=-1, keepdim=True)

    def _powers(self, largest: Tensor, running: Tensor, last: Tensor) -> Tensor:
        """What each key counts at the end, (..., L, S), from its block's maximum and the running one."""
        return (self.scores - last).exp()


class BlocksNotRescaled(Blocks):
    """what earlier blocks of keys gave is not rescaled when a later block has a larger maximum

    Keys of earlier blocks count too much.
    """

    def _powers(self, largest: Tensor, running: Tensor, last: Tensor) -> Tensor:
        return (self.scores - running).exp()


class _NotRescaled1(BlocksNotRescaled):
    size = 1


class _NotRescaled2(BlocksNotRescaled):
    size = 2


class _NotRescaled3(BlocksNotRescaled):
    size = 3


class BlockMaximumForRunning(Blocks):
    """a block's own maximum is subtracted instead of the running one, to which its sum is then added

    Blocks whose maximum is not the largest so far count too much.
    """

    def _powers(self, largest: Tensor, running: Tensor, last: Tensor) -> Tensor:
        return (self.scores - largest).exp() * (running - last).exp()


class _BlockMaximum2(BlockMaximumForRunning):
    size = 2


class _BlockMaximum3(BlockMaximumForRunning):
    size = 3


class LastBlockLost(Blocks):
    """only whole blocks of keys are looked at: the keys behind the last whole block are lost

    Right where the number of keys is a multiple of the block.
    """

    def _powers(self, largest: Tensor, running: Tensor, last: Tensor) -> Tensor:
        S = self.scores.size(-1)
        return super()._powers(largest, running, last) * (torch.arange(S) < S // self.size * self.size)


class _LastLost2(LastBlockLost):
    size = 2


class _LastLost3(LastBlockLost):
    size = 3
