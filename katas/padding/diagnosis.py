"""What the diagnosis knows of this kata: the two functions in steps, and what people do wrong in them."""

from grading.diagnosis.mistake import mistakes_in
from katas.padding import mask, positions, reading
from katas.padding.program import PaddedMask, Positions

PROGRAMS = {"position_ids": Positions, "padding_causal_mask": PaddedMask}
MISTAKES = mistakes_in(reading, positions, mask)
