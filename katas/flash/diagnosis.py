"""What the diagnosis knows of this kata: its two functions in steps, and what people do wrong in them.

Scores and masks go wrong as in all attention; the loop over blocks, its results and a merge have mistakes of their own.
"""

from grading.diagnosis.mistake import Kind, mistakes_in, original
from katas.attention.mistakes import fills, layers, masks, scale, softmax
from katas.flash import loop, merging, results
from katas.flash.program import Blockwise, Merge

PROGRAMS = {"blockwise_attention": Blockwise, "merge": Merge}

SHARED: set[Kind] = {
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


MISTAKES = (*mistakes_in(loop, results, merging), *shared())
