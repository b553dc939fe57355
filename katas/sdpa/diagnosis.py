"""What the diagnosis knows of this kata: its program in steps; the mistakes are those that all katas of attention share."""

from katas.attention.mistakes import MISTAKES
from katas.attention.program import Attention

PROGRAMS = {"scaled_dot_product_attention": Attention}

__all__ = ["MISTAKES", "PROGRAMS"]
