"""Which mistakes reproduce what a learner's code gave.

A mistake is claimed when the pipeline with it gives, for every probe, the numbers that the learner's code gave: to
1e-9 of their scale in float64, NaN for NaN, in shape and dtype. Chance does not do that on random inputs, so what is
claimed is proven, and what is not reproduced is not guessed at. One mistake is tried first, then two.
"""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

from torch import Tensor

from grading.diagnosis.evidence import Decode, Facts, Observation
from grading.diagnosis.matching import all_same, same
from grading.diagnosis.mistakes import catalogue
from grading.diagnosis.pipeline import run
from grading.diagnosis.probes import Probe
from grading.diagnosis.search import Combination, compatible, joined, reproducing, ways
from grading.records import Cause

__all__ = ["Cause", "Decode", "Facts", "Observation", "diagnose"]

Result = dict[str, Tensor] | str


class Fit(NamedTuple):
    """How far a combination of mistakes explains what was seen."""

    shown: int  # wrong outputs that it reproduces
    flat: int  # of these, outputs with the same row everywhere, such as zeros or a bias: many mistakes end there
    blank: int  # of these, outputs that are NaN or infinite throughout: even more do
    told: int  # errors whose very text it reproduces
    unexplained: int  # errors that it does not raise itself, or in other words
    silent: int  # of these, errors where it gives an output


def result(probe: Probe, combination: Combination = ()) -> Result:
    """The outputs with these mistakes, or the text of the error."""
    try:
        return run(probe, joined(combination))
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        return str(error)


class Case:
    """What was seen of one function or class, and how mistakes explain it."""

    def __init__(self, kata: str, observations: Sequence[Observation]) -> None:
        self.right = {seen.probe.name: result(seen.probe) for seen in observations}
        wrong = [seen for seen in observations if self._wrong(seen)]
        # with one call, or without a mask, a probe is cheaper to try and leaves fewer mistakes to be tried
        wrong.sort(key=lambda s: (s.outputs is None, len(s.probe.chunks), s.probe.inputs.get("mask") is not None))
        self.wrong, names = wrong, {seen.probe.name for seen in wrong}
        self.seen = wrong + [seen for seen in observations if seen.probe.name not in names]
        shown = any(seen.outputs is not None for seen in wrong)
        # where nothing wrong came out, there is only the text of errors to go by
        self.ways = ways(tuple(mistake for mistake in catalogue(kata) if shown or mistake.error))

    def _wrong(self, seen: Observation) -> bool:
        wanted = self.right[seen.probe.name]
        return seen.outputs is None or isinstance(wanted, str) or not all_same(wanted, seen.outputs)

    def fit(self, combination: Combination) -> Fit | None:
        """None when one of the observations contradicts the mistakes."""
        shown = flat = blank = told = unexplained = silent = 0
        for seen in self.seen:
            predicted = result(seen.probe, combination)
            if seen.outputs is None:
                alike = isinstance(predicted, str) and predicted in (seen.error or "")
                told, unexplained = told + alike, unexplained + (not alike)
                silent += not isinstance(predicted, str)
            elif isinstance(predicted, str) or not all_same(predicted, seen.outputs):
                return None
            elif wrong := self._wrong_tensors(seen):
                empty = not any(bool(x.isfinite().any()) for x in wrong)
                shown, blank = shown + 1, blank + empty
                flat += not empty and all(_flat(x) for x in wrong)
        return Fit(shown, flat, blank, told, unexplained, silent)

    def _wrong_tensors(self, seen: Observation) -> list[Tensor]:
        wanted, got = self.right[seen.probe.name], seen.outputs or {}
        assert not isinstance(wanted, str)
        return [got[name] for name in got if not same(wanted[name], got[name])]

    def best(self, candidates: Iterable[Combination]) -> list[Combination]:
        """Those that fit and leave the fewest errors unexplained; each set of mistakes once."""
        fits = [(found, candidate) for candidate in candidates if (found := self.fit(candidate)) is not None]
        fits = [(found, candidate) for found, candidate in fits if _proven(found, candidate)]
        least = min((found.unexplained for found, _ in fits), default=0)
        unique: dict[frozenset[str], Combination] = {}
        for found, candidate in fits:
            if found.unexplained == least:
                unique.setdefault(frozenset(way.mistake.name for way in candidate), candidate)
        return list(unique.values())

    def reproduced(self) -> list[Combination]:
        """Single mistakes, or else pairs, that explain what was seen."""
        if not self.wrong:
            return []
        first = self.wrong[0]
        if first.outputs is None:
            return self.best((way,) for way in self.ways)
        single = reproducing(first.probe, first.outputs, self.ways, 1)
        if found := self.best(single):
            return found
        # where one mistake is enough for the first probe, another may show on another probe
        more = [(a, b) for (a,) in single for b in self.ways if compatible(a, b)]
        return self.best([*reproducing(first.probe, first.outputs, self.ways, 2), *more])


def _flat(x: Tensor) -> bool:
    """Whether all rows of several are the same; of a mask, whether all of it is."""
    if not x.is_floating_point():
        return x.numel() > 1 and bool((x == x.reshape(-1)[0]).all())
    rows = x.reshape(-1, x.size(-1))
    return rows.size(0) > 1 and bool((rows == rows[0]).all())


def _proven(found: Fit, candidate: Combination) -> bool:
    """Whether what fits is more than a coincidence.

    Numbers that come of random inputs are. What many mistakes end in is not, unless one mistake explains it and nothing
    is left over. A mistake that raises nearly everywhere has little but the text of its error: the same text has to be
    there more than once, or be all there is.
    """
    if any(way.mistake.error for way in candidate):
        return found.told > found.silent and (found.told > 1 or not found.unexplained)
    if found.shown > found.flat + found.blank:
        return True
    return len(candidate) == 1 and not found.unexplained and (found.flat > 0 or found.blank > 1)


def _reproduced(kata: str, observations: Sequence[Observation]) -> list[Combination]:
    """Of each function or class by itself: no mistake is in two of them."""
    symbols = dict.fromkeys(seen.probe.symbol for seen in observations)
    found = [Case(kata, [s for s in observations if s.probe.symbol == name]).reproduced() for name in symbols]
    return [sum(parts, ()) for parts in product(*(options for options in found if options))] if any(found) else []


def diagnose(kata: str, observations: Sequence[Observation], facts: Facts) -> list[Cause]:
    """The mistakes that are proven, simplest first; [] when none is.

    Args:
        observations: what the learner's code gave for the probes of the kata, or for some of them.
        facts: what outputs do not show.
    """
    causes: dict[tuple[str, int], Cause] = {}
    for i, combination in enumerate(_reproduced(kata, observations)):
        mistakes = [way.mistake for way in combination]
        if any(mistake.denied is not None and mistake.denied(kata, facts) for mistake in mistakes):
            continue
        for mistake in mistakes:
            causes[mistake.name, i] = Cause(mistake.name, mistake.sentence, mistake.notebook, i)
    for mistake in catalogue(kata):
        if mistake.proof is not None and mistake.proof(kata, facts):
            causes[mistake.name, 0] = Cause(mistake.name, mistake.sentence, mistake.notebook)
    return list(causes.values())
