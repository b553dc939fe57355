"""What the diagnosis knows of this kata: its program in steps; the mistakes are those that all katas of attention share."""

from katas.attention.mistakes import MISTAKES
from katas.attention.program import MultiQueryLayer

PROGRAMS = {"MultiQueryAttention": MultiQueryLayer}

__all__ = ["MISTAKES", "PROGRAMS"]
