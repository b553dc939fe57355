"""What the diagnosis knows of this kata: its two functions in steps, and what people do wrong in them.

Scores, heads and the mask of new tokens go wrong as in all attention; places, writing and reading have mistakes of
their own.
"""

from grading.diagnosis.mistake import Kind, is_style, mistakes_in, original
from katas.attention.mistakes import chunks, fills, groups, layers, scale, softmax
from katas.paged_kv_cache import places, reading, writing
from katas.paged_kv_cache.program import PagedAttention, PagedStar, Write

PROGRAMS = {"write": Write, "paged_attention": PagedAttention}
star = PagedStar()

SHARED: set[Kind] = {
    *(scale.ScaleMissing, scale.ScaleHeadDim, scale.ScaleFourthRoot, scale.ScaleMultiplied, scale.ScaleKeyLength),
    *(scale.ScaleQueryLength, scale.ScaleNumHeads, scale.ScaleKvHeads, scale.ScaleConstant, scale.ScaleAfterSoftmax),
    *(scale.RootInFloat32, scale.ScaleBeforeTheMinus, scale.ValuesAsKeys, scale.KeysAsValues),
    *(groups.KvHeadsTiled, groups.KvHeadOfWrongGroup, groups.FirstKvHeadForAll, groups.KvHeadsAveraged),
    *(groups.KvHeadsNotRepeated, groups.KvHeadsRepeatedTooOften, groups.QueriesGroupedInWrongOrder),
    *(groups.GroupRowsMixed, groups.KvHeadsReversed),
    *(chunks.CausalMaskMissing, chunks.CausalMaskTopLeft, chunks.CausalMaskUpper, chunks.CausalMaskStrict),
    *(chunks.CausalMaskOneAhead, chunks.PastHidden, chunks.NewHidden, chunks.NewSeeOnlyThemselves),
    *(fills.FillZero, fills.FillMinusOne, fills.FillPositive, fills.MaskAdded, fills.MaskAfterSoftmax),
    *(softmax.SoftmaxOverQueries, softmax.SoftmaxOverHeads, softmax.SoftmaxMissing, softmax.SoftmaxUndivided),
    *(softmax.SoftmaxWithoutMaximum, softmax.SoftmaxInFloat32, softmax.AllInFloat32, softmax.ResultInFloat32),
    layers.QueryChangedInPlace,
}


def shared() -> tuple[Kind, ...]:
    """The mistakes of all attention that can be made here, and the styles. The others are of layers and caches."""
    kinds = mistakes_in(scale, softmax, fills, groups, chunks, layers)
    return tuple(kind for kind in kinds if is_style(kind) or original(kind) in SHARED)


MISTAKES = (*mistakes_in(places, writing, reading), *shared())
