"""What the diagnosis knows of this kata: its program in steps. The mistakes are those of all katas of attention."""

from katas.attention.mistakes import MISTAKES
from katas.attention.program import GroupedLayer
from katas.attention.star import DecodeStar

PROGRAMS = {"GroupedQueryAttention": GroupedLayer}
star = DecodeStar(16, 2)

__all__ = ["MISTAKES", "PROGRAMS", "star"]
