"""What the diagnosis knows of this kata: the rotation in steps (program.py), and what people do wrong in them."""

from grading.diagnosis.mistake import mistakes_in
from katas.rope import angles, ends, pairs
from katas.rope.program import ApplyRope

PROGRAMS = {"apply_rope": ApplyRope}

MISTAKES = mistakes_in(angles, pairs, ends)
