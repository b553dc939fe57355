"""The catalogue of mistakes."""

from grading.diagnosis.mistakes import (
    additive,
    cache,
    chunks,
    contract,
    dropout,
    fills,
    forms,
    groups,
    heads,
    layers,
    masks,
    projections,
    scale,
    scores,
    softmax,
    triangle,
)
from grading.diagnosis.mistakes.record import Mistake, Swap

__all__ = ["CATALOGUE", "Mistake", "Swap", "catalogue"]

CATALOGUE: tuple[Mistake, ...] = (
    *scale.MISTAKES,
    *scores.MISTAKES,
    *softmax.MISTAKES,
    *masks.MISTAKES,
    *fills.MISTAKES,
    *triangle.MISTAKES,
    *additive.MISTAKES,
    *projections.MISTAKES,
    *heads.MISTAKES,
    *groups.MISTAKES,
    *dropout.MISTAKES,
    *cache.MISTAKES,
    *forms.MISTAKES,
    *chunks.MISTAKES,
    *layers.MISTAKES,
    *contract.MISTAKES,
)


def catalogue(kata: str) -> tuple[Mistake, ...]:
    """The mistakes that can be made in a kata."""
    return tuple(mistake for mistake in CATALOGUE if kata in mistake.katas)
