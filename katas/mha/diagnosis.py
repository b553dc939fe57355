"""What the diagnosis knows of this kata: its program in steps. The mistakes are those of all katas of attention."""

from katas.attention.mistakes import MISTAKES
from katas.attention.program import Layer

PROGRAMS = {"MultiHeadAttention": Layer}

__all__ = ["MISTAKES", "PROGRAMS"]
