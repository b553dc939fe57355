"""Which kata an interview is about, where none is named: one that this learner can be asked."""

from __future__ import annotations

import random
from collections.abc import Sequence

from grading.catalog import Catalog, Kata
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import DRILL, INTERVIEW, Entry

HARD = "hard"


def interviewed(progress: Progress, chance: random.Random, at_most: float = 0.0, follow: bool = False) -> Kata:
    """One of those with fewest interviews so far. A hard one only where all that comes before it was passed.

    Args:
        at_most: the minutes that there are, 0 for any number; what takes longer is drawn only where all do.
        follow: one that another kata comes after, where there is such a one.
    """
    katas, history = list(Catalog().sound), progress.history()
    katas = [kata for kata in katas if _is_fit(kata, history)] or katas
    if at_most:
        katas = [kata for kata in katas if kata.minutes <= at_most] or katas
    if follow:
        katas = [kata for kata in katas if _after(kata)] or katas
    times = {kata.stem: sum(each.kind == INTERVIEW and each.kata == kata.stem for each in history) for kata in katas}
    return chance.choice([kata for kata in katas if times[kata.stem] == min(times.values())])


def followers(kata: Kata, progress: Progress, chance: random.Random) -> Kata | None:
    """A kata that comes after that one; None where there is none. A hard one as above, if there is another."""
    katas, history = _after(kata), progress.history()
    katas = [each for each in katas if _is_fit(each, history)] or katas
    return chance.choice(katas) if katas else None


def _after(kata: Kata) -> list[Kata]:
    return [each for each in Catalog().sound if kata.stem in each.after]


def _is_fit(kata: Kata, history: Sequence[Entry]) -> bool:
    passed = {each.kata for each in history if each.passed and each.kind != DRILL}
    return kata.difficulty != HARD or (bool(kata.after) and passed.issuperset(kata.after))
