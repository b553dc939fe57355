"""Mistakes that people make in attention, by the step in which they make them; katas/<kata>/diagnosis.py has its own.

In: the steps of katas/attention/program.py. Out: MISTAKES, of which each program takes those whose steps it has.
To read: scale, softmax, blocks, masks, fills, projections, heads, groups, dropout, cache, chunks, layers.
"""

from grading.diagnosis.mistake import mistakes_in
from katas.attention.mistakes import (
    blocks,
    cache,
    chunks,
    dropout,
    fills,
    groups,
    heads,
    layers,
    masks,
    projections,
    scale,
    softmax,
)

MISTAKES = mistakes_in(scale, softmax, blocks, masks, fills, projections, heads, groups, dropout, cache, chunks, layers)
