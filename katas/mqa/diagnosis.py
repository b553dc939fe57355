"""What the diagnosis knows of this kata: its program in steps. The mistakes are those of all katas of attention."""

from katas.attention.mistakes import MISTAKES
from katas.attention.program import MultiQueryLayer
from katas.attention.star import DecodeStar

PROGRAMS = {"MultiQueryAttention": MultiQueryLayer}
star = DecodeStar(8, 1)

__all__ = ["MISTAKES", "PROGRAMS", "star"]
