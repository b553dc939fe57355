"""What the diagnosis knows of this kata: its program in steps, and what people do wrong in them.

Softmax, masks of new tokens and rotations go wrong as everywhere; the parts of queries and keys, the latents and their
cache have mistakes of their own.
"""

from grading.diagnosis.mistake import Kind, is_style, mistakes_in, original
from katas.attention.mistakes import chunks, fills, heads, layers, projections, scale, softmax
from katas.mla import caching, making, parts, turning
from katas.mla.program import LatentLayer, LatentStar
from katas.rope import angles, ends, pairs

PROGRAMS = {"LatentAttention": LatentLayer}
star = LatentStar()

SHARED: set[Kind] = {
    *(softmax.SoftmaxOverQueries, softmax.SoftmaxOverHeads, softmax.SoftmaxOverBatch, softmax.SoftmaxMissing),
    *(softmax.SoftmaxTwice, softmax.SoftmaxWithoutMaximum, softmax.SoftmaxInFloat32),
    *(scale.ScaleAfterProduct, scale.WeightsTransposed, scale.ScoresTransposed),
    *(chunks.CausalMaskMissing, chunks.CausalMaskOnlyWithoutCache, chunks.CausalMaskOnlyWithCache),
    *(chunks.CausalMaskTopLeft, chunks.CausalMaskUpper, chunks.CausalMaskStrict, chunks.CausalMaskStrictWithCache),
    *(chunks.CausalMaskOneAhead, chunks.CausalMaskWithoutPast, chunks.PastOnTheRight),
    *(chunks.NewHidden, chunks.NewSeeOnlyThemselves),
    *(fills.MaskAdded, fills.FillZero, fills.FillMinusOne, fills.FillPositive, fills.FillNotLowEnough),
    *(fills.MaskAfterSoftmax, fills.MaskRenormalised, fills.InfinityAfterSoftmax, fills.AddedNotLowEnough),
    *(fills.FillOverflowsHalf, fills.ZeroTimesInfinity),
    *(heads.MergeWithoutTranspose, heads.MergeInterleaved, heads.MergeReversed, heads.MergeMean),
    *(projections.OutputUnprojected, layers.QueryChangedInPlace, layers.GradientCut),
    *(pairs.AnglesRepeated, pairs.PartnersOfNeighbours, pairs.TurnedBackwards, pairs.MinusForgotten),
    *(pairs.CosSinExchanged, pairs.SecondNotTurned, pairs.FirstOverwritten),
    *(angles.OneFrequency, angles.FrequenciesReversed, angles.AnglesInHalf, ends.RotationNotCastBack),
}


def shared() -> tuple[Kind, ...]:
    """The mistakes of all attention, and of all rotations, that can be made here, and the styles."""
    every = mistakes_in(softmax, scale, chunks, fills, heads, projections, layers, pairs, angles, ends)
    return tuple(kind for kind in every if is_style(kind) or original(kind) in SHARED)


MISTAKES = (*mistakes_in(parts, turning, caching, making), *shared())
