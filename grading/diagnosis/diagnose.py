"""Which mistakes reproduce what a learner's code gave.

A mistake is claimed when the pipeline with it gives, for every probe, the numbers that the learner's code gave: to
1e-9 of their scale in float64, NaN for NaN, in shape and dtype. Chance does not do that on random inputs, so what is
claimed is proven, and what is not reproduced is not guessed at. One mistake is tried first, then two.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch import Tensor

from grading.diagnosis.evidence import Cause, Decode, Facts, Observation
from grading.diagnosis.matching import all_same
from grading.diagnosis.mistakes import catalogue
from grading.diagnosis.pipeline import run
from grading.diagnosis.probes import Probe
from grading.diagnosis.search import Combination, joined, pairs, ways

__all__ = ["Cause", "Decode", "Facts", "Observation", "diagnose"]

Result = dict[str, Tensor] | str


class Fit(NamedTuple):
    """How far a combination of mistakes explains what was seen."""

    shown: int  # wrong outputs that it reproduces, and errors whose text it reproduces
    unexplained: int  # errors that it does not raise itself, or in other words


def result(probe: Probe, combination: Combination = ()) -> Result:
    """The outputs with these mistakes, or the text of the error."""
    try:
        return run(probe, joined(combination))
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        return str(error)


def fit(combination: Combination, observations: Iterable[Observation], right: dict[str, Result]) -> Fit | None:
    """None when one of the observations contradicts the mistakes."""
    shown = unexplained = 0
    by_text = any(way.mistake.error for way in combination)
    for seen in observations:
        predicted = result(seen.probe, combination)
        if seen.outputs is None:
            told = isinstance(predicted, str) and predicted in (seen.error or "")
            shown, unexplained = shown + (told and by_text), unexplained + (not told)
        elif isinstance(predicted, str) or not all_same(predicted, seen.outputs):
            return None
        else:
            wanted = right[seen.probe.name]
            shown += isinstance(wanted, str) or not all_same(wanted, seen.outputs)
    return Fit(shown, unexplained)


def best(candidates: Iterable[Combination], seen: Sequence[Observation], right: dict[str, Result]) -> list[Combination]:
    """Those that fit and leave the fewest errors unexplained; each set of mistakes once."""
    fits: list[tuple[int, Combination]] = []
    for candidate in candidates:
        found = fit(candidate, seen, right)
        if found is not None and found.shown and _told(candidate, found):
            fits.append((found.unexplained, candidate))
    least = min((unexplained for unexplained, _ in fits), default=0)
    unique = {frozenset(way.mistake.name for way in c): c for unexplained, c in reversed(fits) if unexplained == least}
    return list(reversed(unique.values()))


def _told(candidate: Combination, found: Fit) -> bool:
    """What raises everywhere has nothing but the text of its error: that has to be the text of all errors."""
    return not found.unexplained or not any(way.mistake.error for way in candidate)


def _reproduced(kata: str, observations: Sequence[Observation]) -> list[Combination]:
    right = {seen.probe.name: result(seen.probe) for seen in observations}
    wrong = [seen for seen in observations if seen.outputs is None or not _right(seen, right)]
    if not wrong:
        return []
    ordered = wrong + [seen for seen in observations if seen not in wrong]
    mistakes = catalogue(kata)
    single = best(((way,) for way in ways(mistakes)), ordered, right)
    if single:
        return single
    for seen in wrong:
        if seen.outputs is not None:
            return best(pairs(seen.probe, seen.outputs, mistakes), ordered, right)
    return []


def _right(seen: Observation, right: dict[str, Result]) -> bool:
    wanted = right[seen.probe.name]
    return seen.outputs is not None and not isinstance(wanted, str) and all_same(wanted, seen.outputs)


def diagnose(kata: str, observations: Sequence[Observation], facts: Facts) -> list[Cause]:
    """The mistakes that are proven, simplest first; [] when none is.

    Args:
        observations: what the learner's code gave for the probes of the kata, or for some of them.
        facts: what outputs do not show.
    """
    causes: dict[tuple[str, int], Cause] = {}
    for i, combination in enumerate(_reproduced(kata, observations)):
        for way in combination:
            mistake = way.mistake
            causes[mistake.name, i] = Cause(mistake.name, mistake.sentence, mistake.notebook, i)
    for mistake in catalogue(kata):
        if mistake.proof is not None and mistake.proof(kata, facts):
            causes[mistake.name, 0] = Cause(mistake.name, mistake.sentence, mistake.notebook)
    return list(causes.values())
