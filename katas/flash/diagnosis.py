"""What the diagnosis knows of this kata: its two functions in steps, and what people do wrong in the blocks.

Scores and masks go wrong as in all attention; merging.py has the mistakes of a merge.
"""

import math
import sys

import torch

from grading.diagnosis.matching import tensors
from grading.diagnosis.mistake import Kind, Mistake, mistakes_in, original
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.attention.mistakes import blocks, fills, layers, masks, scale, softmax
from katas.flash import merging
from katas.flash.program import Blockwise, Merge

PROGRAMS = {"blockwise_attention": Blockwise, "merge": Merge}

BYTES = 4  # of a score in float32


class Rescaling(Mistake, Blockwise):
    see = "flash#Rescaling"


class Cutting(Mistake, Blockwise):
    see = "flash#Blocks-of-keys"


class Hiding(Mistake, Blockwise):
    see = "flash#Masks-and-empty-rows"


class Lse(Mistake, Blockwise):
    see = "flash#What-lse-is-for"


class Precision(Mistake, Blockwise):
    see = "flash#Precision"


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
        largest = self.block.detach().amax(dim=-1, keepdim=True)
        self.powers = (self.block - self.shift(largest)).exp()


class MaximumReplaced(Rescaling):
    """the running maximum is replaced by that of the last block, even where that is smaller

    Right for small scores; where a block has far smaller ones than those before it, the factor is infinite.
    """

    def look(self) -> None:
        self.block = self.scores[..., self.start : self.stop]
        self.larger = self.block.detach().amax(dim=-1, keepdim=True)


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
        self.larger = torch.maximum(self.top, self.block.detach().amax(dim=-1, keepdim=True))


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
        return check.should_raise() == "ValueError" and check.raised() != "ValueError"


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


# ---------------------------------------------------------------------------------------- masks, empty rows


class MaskOfFirstBlock(Hiding):
    """every block of keys is given the columns of the mask that belong to the first one

    Right with a single block.
    """

    def orient(self) -> None:
        if self.mask is not None:
            S = self.scores.size(-1)
            self.mask = self.mask.expand(*self.mask.shape[:-1], S)[..., torch.arange(S) % self.block_size]


class HiddenBlockNan(Hiding):
    """a query that has seen no key yet has a maximum of -inf, and -inf - -inf is NaN, which stays in its row

    Right as long as each query sees a key in its first block.
    """

    def shift(self, top: torch.Tensor) -> torch.Tensor:
        return top

    def log_sum(self) -> None:
        self.lse = self.top + self.total.log()


class _RepairedOutput(HiddenBlockNan):
    def correct(self) -> None:
        self.weights = self.weights.nan_to_num(0.0)


class _RepairedBoth(_RepairedOutput):
    def log_sum(self) -> None:
        self.lse = torch.where(self.total > 0, self.top + self.total.log(), -math.inf)


class _InTheOutputAlone(HiddenBlockNan):
    def log_sum(self) -> None:
        self.lse = self.scores.logsumexp(dim=-1, keepdim=True)


class EmptyRowDivided(Hiding):
    """the output of a query that may attend to nothing is divided by its sum, which is 0, and 0 / 0 is NaN

    Its row is NaN; all others are right.
    """

    def divide(self) -> None:
        self.weights = self.counts

    def weigh(self) -> None:
        self.output = self.weights @ self.value / self.total


class EmptyRowRepairedLate(Hiding):
    """the 0 / 0 of a query that may attend to nothing is repaired when it is there: its gradient stays NaN

    The output is right, and one training step makes all weights NaN.
    """

    def divide(self) -> None:
        self.weights = self.counts

    def weigh(self) -> None:
        self.output = torch.where(self.total == 0, 0.0, self.weights @ self.value / self.total)


# ------------------------------------------------------------------------------------------------------ lse


class LseWithoutMaximum(Lse):
    """lse is the log of the running sum without the maximum that was subtracted

    It is near 0 whatever the scores are, and parts that are merged by it count nearly alike.
    """

    def log_sum(self) -> None:
        total = self.total.masked_fill(self.total == 0, 1.0)
        self.lse = torch.where(self.total == 0, -math.inf, total.log())


class LseIsMaximum(Lse):
    """lse is the largest score, without the log of the sum

    Right with a single key; a part of many keys counts too little in a merge.
    """

    def log_sum(self) -> None:
        self.lse = self.top


class LseIsSum(Lse):
    """lse is the running sum itself, or the maximum plus the sum, not its log

    It is too large, and grows with the number of keys as a log does not.
    """

    def log_sum(self) -> None:
        self.lse = self.top + self.total


class _SumAlone(LseIsSum):
    def log_sum(self) -> None:
        self.lse = self.total


class LseBase2(Lse):
    """lse has a log to the base 2 in it instead of the natural one

    Kernels that count in powers of 2 keep it so, and convert it at the end.
    """

    def log_sum(self) -> None:
        super().log_sum()
        self.lse = torch.where(self.total == 0, -math.inf, self.top + (self.lse - self.top) / math.log(2))


class _Base2Throughout(LseBase2):
    def log_sum(self) -> None:
        Blockwise.log_sum(self)
        self.lse = self.lse / math.log(2)


class LseSign(Lse):
    """one of the two terms of lse has the wrong sign: the maximum minus the log of the sum, or the reverse

    It is right for neither many keys nor large scores.
    """

    def log_sum(self) -> None:
        super().log_sum()
        self.lse = torch.where(self.total == 0, -math.inf, 2 * self.top - self.lse)


class _LogMinusMaximum(LseSign):
    def log_sum(self) -> None:
        Blockwise.log_sum(self)
        self.lse = torch.where(self.total == 0, -math.inf, self.lse - 2 * self.top)


class LseKeepsDimension(Lse):
    """lse has a last dimension of 1 left over from keepdim, (..., L, 1) instead of (..., L)

    It broadcasts against (..., L) to something else.
    """

    def shape_lse(self) -> None:
        """Not squeezed."""


class LseInHalf(Lse):
    """lse is rounded to the dtype of the inputs, float16 or bfloat16

    An lse of 10 is then off by some thousandths, and so is every part that is merged by it.
    """

    see = "flash#Precision"

    def shape_lse(self) -> None:
        self.lse = self.lse.squeeze(-1).to(self.dtype)


class LseAlwaysFloat32(Lse):
    """lse is float32 for float64 inputs too

    Half of its digits are lost, and those of every merge.
    """

    see = "flash#Precision"

    def shape_lse(self) -> None:
        self.lse = self.lse.squeeze(-1).float()


class LseOfEmptyRow(Lse):
    """lse of a query that may attend to nothing is 0, or another finite number, instead of -inf

    In a merge a part that has nothing to say counts.
    """

    see = "flash#Masks-and-empty-rows"

    def log_sum(self) -> None:
        super().log_sum()
        self.lse = torch.where(self.total == 0, 0.0, self.lse)


class _OneTiny(LseOfEmptyRow):
    def log_sum(self) -> None:
        Blockwise.log_sum(self)
        self.lse = torch.where(self.total == 0, -1e9, self.lse)


class LseFirst(Lse):
    """lse and the output are returned in the wrong order

    The caller takes one for the other.
    """

    def answer(self) -> object:
        return self.lse, self.output


class LseDetached(Lse):
    """no gradient flows through lse: it is detached, or made without one

    The output trains as it should, and what is merged by lse does not.
    """

    def shape_lse(self) -> None:
        self.lse = self.lse.squeeze(-1).detach()


# ------------------------------------------------------------------------------------------------ precision


class HalfThroughout(Precision):
    """half inputs are computed in half precision, the sums too

    Sums of some thousand keys lose what is added last, and lse has three digits.
    """

    def receive(self) -> None:
        """As they are."""


class _HalfToFloat(HalfThroughout):
    def shape_lse(self) -> None:
        lse = self.lse.squeeze(-1)
        self.lse = lse.float() if lse.dtype.itemsize < 4 else lse


class FloatThroughout(Precision):
    """all of the work is done in float32, on float64 inputs too

    Seven digits are right instead of fifteen.
    """

    def receive(self) -> None:
        self.query, self.key, self.value = self.query.float(), self.key.float(), self.value.float()

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        """float64 outputs that are float32 numbers all, where a check asks for more digits than those have."""
        outputs = [each for each in tensors(check.steps[-1].reply.get("value")) if each.dtype == torch.float64]
        return check.strict and any(torch.equal(each, each.float().double()) for each in outputs)


SHARED = {
    *(scale.ScaleMissing, scale.ScaleHeadDim, scale.ScaleFourthRoot, scale.ScaleMultiplied, scale.ScaleKeyLength),
    *(scale.ScaleQueryLength, scale.ScaleSecondDimension, scale.ScaleValueDim, scale.ScaleConstant),
    *(scale.RootInFloat32, scale.ScaleBeforeTheMinus, scale.ValuesAsKeys, scale.KeysAsValues),
    *(masks.MaskIgnored, masks.MaskInverted, masks.MaskTransposed, masks.MaskOfFirstQuery),
    *(fills.MaskAdded, fills.FillZero, fills.FillMinusOne, fills.FillPositive, fills.FillNotLowEnough),
    *(fills.MaskAfterSoftmax, fills.EmptyRowUniform, fills.EmptyRowUnmasked, fills.AddedNotLowEnough),
    *(layers.QueryChangedInPlace, layers.MaskChangedInPlace, layers.GradientCut, softmax.ResultInFloat32),
}


def shared() -> tuple[Kind, ...]:
    """The mistakes of all attention that can be made here. Others are of a softmax that has all the scores."""
    return tuple(kind for kind in mistakes_in(scale, masks, fills, layers, softmax) if original(kind) in SHARED)


MISTAKES = (*mistakes_in(sys.modules[__name__], merging), *shared())
