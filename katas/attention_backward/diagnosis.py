"""What the diagnosis knows of this kata: the way back in steps (program.py), and what people do wrong in them.

Mistakes of the forward pass are those of all katas of attention, as far as they are made here: a search tries each.
"""

from grading.diagnosis.mistake import is_style, mistakes_in, name
from katas.attention.mistakes import fills, layers, masks, scale, softmax
from katas.attention_backward import ends, products_back, softmax_back
from katas.attention_backward.program import AttentionBackward
from katas.attention_backward.squares import SquaresStar

FORWARD = """scale-missing scale-head-dim scale-multiplied scale-key-length root-in-float32 queries-as-keys
softmax-over-queries softmax-missing softmax-without-maximum softmax-in-float32 mask-ignored
mask-inverted mask-transposed fill-zero mask-after-softmax empty-row-nan
empty-row-uniform fill-not-low-enough query-changed-in-place mask-changed-in-place""".split()

PROGRAMS = {"attention_backward": AttentionBackward}
MISTAKES = (
    *mistakes_in(softmax_back, products_back, ends),
    *(kind for kind in mistakes_in(scale, softmax, masks, fills, layers) if is_style(kind) or name(kind) in FORWARD),
)
star = SquaresStar()
