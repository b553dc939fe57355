"""What people do wrong in the loop over blocks of keys: in the maximum, and in the cut."""

import math

import torch

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.attention.mistakes import blocks
from katas.flash.program import Blockwise

BYTES = 4  # of a score in float32


class Rescaling(Mistake, Blockwise):
    see = "flash#Rescaling"


class Cutting(Mistake, Blockwise):
    see = "flash#Blocks-of-keys"


class MaximumWithGradient(Mistake, Blockwise):
    """The maximum has a gradient: it cancels, unless a mistake leaves what was summed at another maximum."""

    sound = True

    def largest(self) -> torch.Tensor:
        return self.block.amax(dim=-1, keepdim=True)


# ------------------------------------------------------------------------------------------------ rescaling


class _NothingRescaled(blocks.BlocksNotRescaled, Rescaling):
    def rescale_sum(self) -> None:
        """Left as it is."""

    def rescale_output(self) -> None:
        """Left as it is."""


class OutputNotRescaled(Rescaling):
    """the running sum is brought to a new maximum, and the output that was summed before is not

    Values of earlier blocks count too much, and lse is right.
    """

    def rescale_output(self) -> None:
        """Left as it is."""


class SumNotRescaled(Rescaling):
    """the output that was summed before is brought to a new maximum, and the running sum is not

    The output is too small and lse too large, the more so the more the scores rise.
    """

    def rescale_sum(self) -> None:
        """Left as it is."""


class CorrectionInverted(Rescaling):
    """what was summed before is multiplied by exp(new maximum - old maximum) instead of exp(old - new)

    The larger the scores that come later, the more earlier keys count.
    """

    def compare(self) -> None:
        shrink = (self.shift(self.larger) - self.top).exp()
        self.shrink = torch.where(self.top == -math.inf, 0.0, shrink)


class _InvertedFromInfinity(CorrectionInverted):
    def compare(self) -> None:
        self.shrink = (self.larger - self.top).exp()


class BlockRescaledToo(Rescaling):
    """the factor that brings earlier blocks to a new maximum is applied after the block is added, to the block too

    Where the maximum does not change nothing is wrong, and the first block is lost.
    """

    def rescale_sum(self) -> None:
        """After the sum."""

    def rescale_output(self) -> None:
        """After the sum."""

    def add_to_sum(self) -> None:
        self.total = (self.total + self.powers.sum(dim=-1, keepdim=True)) * self.shrink

    def add_to_output(self) -> None:
        self.put(self.powers)
        self.counts = self.counts * self.shrink


class _FromAFiniteStart(BlockRescaledToo):
    def compare(self) -> None:
        self.shrink = torch.where(self.top == -math.inf, 1.0, (self.top - self.shift(self.larger)).exp())


class _OwnMaximum(blocks.BlockMaximumForRunning, Rescaling):
    def exponentiate(self) -> None:
        self.powers = (self.block - self.shift(self.largest())).exp()


class MaximumReplaced(Rescaling):
    """the running maximum is replaced by that of the last block, even where that is smaller

    Right for small scores; where a block has far smaller ones than those before it, the factor is infinite.
    """

    def look(self) -> None:
        self.block = self.scores[..., self.start : self.stop]
        self.larger = self.largest()


class MaximumFromFinite(Rescaling):
    """the running maximum starts at 0, or at a number like -10,000, instead of at -inf

    Where all the scores of a query are far below it, all the exponentials are 0.
    """

    number: float = 0.0

    def begin(self) -> None:
        super().begin()
        self.top = torch.full_like(self.top, self.number)


class _FromMinusThousand(MaximumFromFinite):
    number = -1e3


class _FromMinusTenThousand(MaximumFromFinite):
    number = -1e4


class MaximumMissing(Rescaling):
    """nothing is subtracted from the scores before exp is taken: there is no maximum

    Right for small scores; above 709 (float64) or 88 (float32) exp is inf, and far below zero all of it is 0.
    """

    def begin(self) -> None:
        super().begin()
        self.top = torch.zeros_like(self.top)

    def look(self) -> None:
        self.block = self.scores[..., self.start : self.stop]
        self.larger = self.top


class DividedInEachBlock(Rescaling):
    """the output is divided by the running sum after each block, and not multiplied by it again before the next

    Keys of earlier blocks count too little, and lse is right.
    """

    def add_to_output(self) -> None:
        self.put(self.powers)
        self.counts = self.counts / self.total.masked_fill(self.total == 0, 1.0)

    def divide(self) -> None:
        self.weights = self.counts


class _AndAtTheEnd(DividedInEachBlock):
    def divide(self) -> None:
        super(DividedInEachBlock, self).divide()


class SumOfLastBlock(Rescaling):
    """the running sum is that of the last block alone: it is set instead of added to

    The weights of a query sum to more than 1, and lse is too small.
    """

    def add_to_sum(self) -> None:
        self.total = self.powers.sum(dim=-1, keepdim=True)


class OutputOfLastBlock(Rescaling):
    """the output is that of the last block alone: it is set instead of added to

    Only the keys of the last block count, and lse is right.
    """

    def rescale_output(self) -> None:
        self.counts = torch.zeros_like(self.counts)


# --------------------------------------------------------------------------------------------------- blocks


class _WholeBlocks(blocks.LastBlockLost, Cutting):
    def cut(self) -> None:
        S, size = self.scores.size(-1), self.block_size
        self.blocks = [(at, at + size) for at in range(0, S // size * size, size)]


class FirstBlockOnly(Cutting):
    """only the first block of keys is looked at, as where the return stands inside the loop

    All other keys are lost.
    """

    def cut(self) -> None:
        self.blocks = [(0, min(self.block_size, self.scores.size(-1)))]


class OneKeyInTwoBlocks(Cutting):
    """each block begins with the last key of the one before it, or ends with the first one of the next

    The keys at the seams count twice.
    """

    def cut(self) -> None:
        S, size = self.scores.size(-1), self.block_size
        self.blocks = [(at, min(at + size + 1, S)) for at in range(0, S, size)]


class OneKeyBetweenBlocks(Cutting):
    """each block ends one key too early

    The keys at the seams are lost.
    """

    def cut(self) -> None:
        S, size = self.scores.size(-1), self.block_size
        self.blocks = [(at, min(at + size, S) - 1) for at in range(0, S, size)]


class _TheLastIsWhole(OneKeyBetweenBlocks):
    def cut(self) -> None:
        S, size = self.scores.size(-1), self.block_size
        self.blocks = [(at, min(at + size - 1, S)) for at in range(0, S, size)]


class MeanOfBlocks(Cutting):
    """the output is the plain mean of what each block of keys gives by itself

    A key in a block of small scores counts as much as one in a block of large ones.
    """

    def divide(self) -> None:
        S = self.scores.size(-1)
        parts = [self.scores[..., start:stop].softmax(dim=-1).nan_to_num(0.0) for start, stop in self.blocks]
        self.weights = torch.cat(parts, dim=-1)[..., :S] / self._share()

    def _share(self) -> int:
        """How many parts the mean is of."""
        return len(self.blocks)


class SumOfBlocks(MeanOfBlocks):
    """the output is the sum of what each block of keys gives by itself: each is divided by its own sum

    The weights of a query sum to the number of blocks.
    """

    def _share(self) -> int:
        return 1


class PaddedKeysCount(Cutting):
    """the last block is filled up with keys of zeros, and these are not hidden: each has a score of 0

    Right where the number of keys is a multiple of the block; else the output is too small and lse too large.
    """

    def look(self) -> None:
        self._fill_up()

    def _fill_up(self) -> None:
        block = self.scores[..., self.start : self.stop]
        self.block = torch.nn.functional.pad(block, (0, self.block_size - block.size(-1)))
        self.larger = torch.maximum(self.top, self.largest())


class _HiddenByAMask(PaddedKeysCount):
    def look(self) -> None:
        if self.mask is None:
            self._fill_up()
        else:
            Blockwise.look(self)


class BlockSizeUnchecked(Cutting):
    """a block_size less than 1 is taken without an error

    There are no blocks, and the result is NaN or zeros.
    """

    def check_block_size(self) -> None:
        """It is not looked at."""

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return check.should_raise() == "ValueError" and not check.raised()


class AllScoresAtOnce(Cutting):
    """the scores of all the keys are held at once, before or after they are cut into blocks

    The output is right, and the memory grows with L x S, which is what blocks are there to avoid.
    """

    see = "flash#Memory"

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        for step in check.steps:
            if step.request["do"] == "peak" and "peak" in step.reply:
                query, key = step.request["args"][:2]
                scores = BYTES * math.prod(query.shape[:-1]) * key.shape[-2]
                if scores <= step.reply["peak"]:
                    return True
        return False
