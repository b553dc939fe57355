"""What the diagnosis knows of this kata: the two functions in steps, and what people do wrong in them."""

from grading.diagnosis.mistake import mistakes_in
from katas.sampling import draw_mistakes, filter_mistakes, nucleus_mistakes, share_mistakes
from katas.sampling.program import NextTokenProbs, Sample

PROGRAMS = {"next_token_probs": NextTokenProbs, "sample": Sample}
MISTAKES = mistakes_in(filter_mistakes, nucleus_mistakes, share_mistakes, draw_mistakes)
