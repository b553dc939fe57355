"""What the diagnosis knows of this kata: the way back in steps (program.py), and what people do wrong in them.

The mistakes of the forward pass are those of all katas of attention.
"""

from grading.diagnosis.mistake import mistakes_in
from katas.attention.mistakes import fills, layers, masks, scale, softmax
from katas.attention_backward import ends, products_back, softmax_back
from katas.attention_backward.program import AttentionBackward

PROGRAMS = {"attention_backward": AttentionBackward}
MISTAKES = mistakes_in(scale, softmax, masks, fills, layers, softmax_back, products_back, ends)
