"""What the diagnosis knows of this kata: its program in steps. The mistakes are those of all katas of attention."""

from katas.attention.mistakes import MISTAKES
from katas.attention.program import CachedLayer
from katas.attention.star import DecodeStar

PROGRAMS = {"CachedGroupedQueryAttention": CachedLayer}
star = DecodeStar(16, 2, cached=True)

__all__ = ["MISTAKES", "PROGRAMS", "star"]
