"""The catalogue of mistakes."""

from grading.diagnosis.mistakes import cache, causal, dropout, heads, masks, projections, scores, shown
from grading.diagnosis.mistakes.record import Mistake, Swap

__all__ = ["CATALOGUE", "Mistake", "Swap", "catalogue"]

CATALOGUE: tuple[Mistake, ...] = (
    *scores.MISTAKES,
    *masks.MISTAKES,
    *causal.MISTAKES,
    *projections.MISTAKES,
    *heads.MISTAKES,
    *dropout.MISTAKES,
    *cache.MISTAKES,
    *shown.MISTAKES,
)


def catalogue(kata: str) -> tuple[Mistake, ...]:
    """The mistakes that can be made in a kata."""
    return tuple(mistake for mistake in CATALOGUE if kata in mistake.katas)
