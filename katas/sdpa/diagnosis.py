"""What the diagnosis knows of this kata: its program in steps. The mistakes are those of all katas of attention."""

from katas.attention.mistakes import MISTAKES
from katas.attention.program import Attention

PROGRAMS = {"scaled_dot_product_attention": Attention}

__all__ = ["MISTAKES", "PROGRAMS"]
