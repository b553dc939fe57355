"""Which mistakes together explain the failed checks of one class or function.

A combination grows where it leaves a check unexplained, by one mistake at a time: checks of single rules show one slip
each, and what they show is carried on to the checks in which several meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import combinations, islice

from grading.diagnosis.budget import Budget
from grading.diagnosis.evidence import CALLS, Evidence
from grading.diagnosis.mistake import (
    Combination,
    Kind,
    added_style,
    compatible,
    is_style,
    joined,
    named,
    plain,
    steps,
    without,
)
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check, first_of_each

MOST = 4  # mistakes that are named together
WIDTH = 5  # combinations that are grown at once, where they explain as much
TRIES = 8  # checks on which a combination is tried to be grown
TELLING = 3  # of them that come first for their numbers; then those that look at one rule
ENOUGH = 0.5  # of the sample: where a single mistake explains as much, it is grown
HARDLY = 0.65  # of the sample: where the best explains no more, two mistakes more are tried at once
MOST_OF_IT = 0.8  # of the sample: where that is explained, no mistake in it is taken for chance
FURTHER = 8  # checks more, of those that the best combination does not explain
CALLS_TO_BEGIN = 14  # for the first mistakes: what is larger is grown from them, and takes the rest
CALLS_TO_EXCHANGE = 4  # at the end, a mistake for another
CALLS_FOR_LITTLE = 5  # of growing what explains nearly all
CALLS_A_ROUND = 3  # of growing what explains as much
CALLS_FOR_PAIRS = 700  # at once: of two mistakes, or of one and a style
PATIENCE = 3  # rounds of growing that bring nothing better
COMPARED = 12  # combinations at the end, where none explains all
AMONG_OTHERS = 0.45  # of a check, by which a combination with one mistake more has to explain more at the end
PARTS = 6  # combinations that are grown further though they explain a part only


class Search(Evidence):
    """The search for one class or function."""

    def __init__(
        self, program: type[Program], kinds: Iterable[Kind], failed: Sequence[Check], passed: Sequence[Check]
    ) -> None:
        super().__init__(program, kinds, failed, passed)
        self._single: dict[str, list[Combination]] = {}  # the mistakes that by themselves explain a check

    def found(self) -> list[Combination]:
        """The combinations that explain most, the simplest of them; several where each explains as much."""
        if not self.failed:
            return []
        with self.budget.no_more_than(self.budget.left - CALLS_TO_EXCHANGE * self.worth):
            best = self._climb(self._begun())
            if best and (further := self._unexplained(best[0])):
                self.sample += further
                best = self._climb(best[:WIDTH])
        if best and self._done(best[0]) < MOST_OF_IT and (better := self._exchanged(best[0])):
            best = self._climb([*better, *best])
        if best and self._done(best[0]) < HARDLY:
            best = self._climb([*self._pairs(best[0]), *self._pairs(), *best])
        return self._simplest([*self._condensed(best[0]), *best] if best else [])

    def _condensed(self, best: Combination) -> list[Combination]:
        """One mistake in the place of two of three, where that explains as much."""
        pairs = combinations(plain(best), 2) if len(plain(best)) > 2 else ()
        rests = [without(without(best, first), second) for first, second in pairs]
        found: list[Combination] = []
        for rest in rests:
            shown = (c for c in self.order if c.telling and self.explains(best, c) and not self.explains(rest, c))
            for check in islice(shown, 1):
                found += [each for each in self._larger(rest, check) if self.explains(each, check)]
        return self._ranked(each for each in found if self.rank(each) < self.rank(best))

    def _exchanged(self, best: Combination) -> list[Combination]:
        """One mistake of it exchanged for another, where that explains more: it may have been begun with chance."""
        left, rests = self._left(best)[:2], [without(plain(best), kind) for kind in plain(best)]
        found = [each for rest in rests for each in self._first(left, partial(self._larger, rest))]
        found = found or [each for rest in rests for each in self._first(left[:1], partial(self._both, rest))]
        return [each for each in dict.fromkeys(found) if self.rank(each) < self.rank(best)]

    def _unexplained(self, combination: Combination) -> list[Check]:
        """Checks beyond the sample that it does not explain, also other ones of the same tests."""
        others = [check for check in self.fit if check not in self.sample]
        return first_of_each([check for check in others if not self.explains(combination, check)])[:FURTHER]

    @property
    def order(self) -> list[Check]:
        """The sample, with the checks first that say most for the least work."""
        return sorted(self.sample, key=lambda check: (bool(check.raised()), check.has_mask, check.cost > 1))

    def _begun(self) -> list[Combination]:
        """Single mistakes, where they do not do much also with the style in which they show; what gives a part of a
        check, where none is found; two at once, where there is none of that."""
        left = self._left(())
        with self.budget.no_more_than(CALLS_TO_BEGIN * self.worth):
            singles = self._singles(left)
        if not singles or self._done(singles[0]) < ENOUGH:
            rest = [check for check in self.order[:3] if not any(self.explains(each, check) for each in singles)]
            with self.budget.no_more_than(CALLS_FOR_PAIRS):
                singles += self._first(rest, lambda check: self._both((), check))
            singles += self._parts((), self.sample)
            for single in singles[:WIDTH]:
                singles += self._first(self._left(single), partial(self.styled, single, sound=True))
        return singles or self._pairs()

    def _singles(self, left: Sequence[Check]) -> list[Combination]:
        """Single mistakes: of the first check; where they do not do much, of others too, those first that look at one
        rule."""
        singles: list[Combination] = []
        for checks in (left[:1], self._rules_first()):
            alone = [each for check in checks for each in self.alone(check)]
            singles = self._ranked(dict.fromkeys([*singles, *alone]))
            if singles and self._done(singles[0]) >= ENOUGH:
                break
        return singles

    def _rules_first(self) -> list[Check]:
        """The sample, with the checks first in which few mistakes show: what has simple numbers, and is tested late."""
        latest = self.sample[::-1]
        return sorted(latest, key=lambda c: (c.cost > 1, c.telling, bool(c.raised()), c.has_mask))

    def alone(self, check: Check) -> list[Combination]:
        """The single mistakes that explain a check."""
        if check.name not in self._single:
            self._single[check.name] = self._first([check], lambda check: self._larger((), check))
        return self._single[check.name]

    def _climb(self, begun: Sequence[Combination]) -> list[Combination]:
        """Larger and larger combinations, the best of all first: what explains most so far is grown next."""
        best, grown, idle = self._ranked(begun), set[Combination](), 0
        while self.budget.left > 0 and idle < PATIENCE:
            frontier = self._promising(each for each in best if each not in grown)
            if not frontier or all(self.explains(best[0], check) for check in self.sample):
                break
            before, calls = self.rank(best[0]), max(CALLS_FOR_LITTLE, CALLS * (1 - self._done(best[0]))) * self.worth
            with self.budget.no_more_than(int(calls)):
                larger = {each for start in frontier for each in self._united(start)} - set(best)
                if not larger:
                    larger = self._grown_of_all(frontier, grown) - set(best)
            best = self._ranked([*best, *(each for each in larger if not self.contradicted(each))])
            idle = idle + 1 if self.rank(best[0]) == before else 0
        return best

    def _grown_of_all(self, frontier: Sequence[Combination], grown: set[Combination]) -> set[Combination]:
        """What combinations of one rank grow to: all, unless that takes long and one of them has led further."""
        found, enough = set[Combination](), self.budget.left - CALLS_A_ROUND * self.worth
        for i, start in enumerate(frontier):
            if self.budget.left < enough and any(self.rank(each) < self.rank(start) for each in found):
                break
            grown.add(start)
            with self.budget.no_more_than(self.budget.left // (len(frontier) - i)):
                found.update(self._grown(start))
        return found

    def _promising(self, ranked: Iterable[Combination]) -> list[Combination]:
        """Those that are grown next: the best, and what is as good."""
        first = list(islice(ranked, WIDTH))
        return [each for each in first if self.rank(each)[:2] == self.rank(first[0])[:2]]

    def _ranked(self, combinations: Iterable[Combination]) -> list[Combination]:
        return sorted(combinations, key=self.rank)

    def _done(self, combination: Combination) -> float:
        """The share of the sample that it explains."""
        explained = sum(self.weight(check) for check in self.sample if self.explains(combination, check))
        return explained / sum(map(self.weight, self.sample))

    def _simplest(self, ranked: Sequence[Combination]) -> list[Combination]:
        """The best, and its equals under other names. The sample has one check of each test: where the best does not
        explain all that fails, it is compared with others on all of it."""
        sound = [each for each in ranked[: 4 * WIDTH] if named(each) and not self.contradicted(each)]
        best = [each for each in sound if self.rank(each)[:2] == self.rank(sound[0])[:2]]
        if best and not all(self.explains(best[0], check) for check in self.failed):
            best = sound[: max(COMPARED, len(best))]
        whole = {each: sum(self.weight(check) for check in self.failed if self.explains(each, check)) for each in best}
        worth = {each: whole[each] - AMONG_OTHERS * len(named(each)) for each in best}
        values = {each: (-worth[each], len(named(each)), self.rank(each)[0]) for each in best}
        best = [each for each in best if values[each] == min(values.values())]
        best = [each for each in best if not any(kind.last for kind in each)] or best
        return list({named(each): each for each in reversed(best)}.values())[::-1]

    def _grown(self, start: Combination) -> list[Combination]:
        """The combinations with one mistake more that explain a check more."""
        if len(named(start)) == MOST:
            return []
        left = self._left(start)
        styles: Sequence[Callable[[Check], Iterator[Combination]]] = (
            lambda check: self.styled(start, check, True),
            lambda _: self.restyled(start),
        )
        for stage in styles:
            if found := [each for each in self._first(left, stage) if self.rank(each) < self.rank(start)]:
                return found
        return (
            self._first(left, lambda check: self._larger(start, check))
            or self._parts(start, left)
            or self._first(left, lambda check: self.styled(start, check, False))
            or self._first(left[:2], lambda check: self._both(start, check))
        )

    def _united(self, start: Combination) -> list[Combination]:
        """With one mistake more, of those that explain another check by themselves."""
        if len(named(start)) == MOST:
            return []
        left = self._left(start)
        known = [each for check in left for each in self._single.get(check.name, ())]
        larger = [joined(start, kind) for (kind,) in dict.fromkeys(known) if compatible(start, kind)]
        found = [each for each in larger if any(self.explains(each, check) for check in left)]
        return [each for each in found if not self.contradicted(each)]

    def _parts(self, start: Combination, left: Sequence[Check]) -> list[Combination]:
        """Those that give more of the wrong tensors of a check, and most of them first."""
        found: dict[Combination, int] = {}
        for check in left:
            for each, parts in self.partly.get(check.name, {}).items():
                if set(start) < set(each) and parts > self.parts(start, check):
                    found[each] = found.get(each, 0) + parts
        return sorted(found, key=lambda each: -found[each])[:PARTS]

    def _left(self, start: Combination) -> list[Check]:
        """What it is grown on: checks whose numbers say most, with those of constructors, which take no calls, behind
        the first; then those that look at one rule."""
        left = [check for check in self.order if not self.explains(start, check)]
        made = [check for check in left if check.makes_only]
        called = [check for check in left if not check.makes_only]
        telling, rules = ([check for check in called if check.telling is one] for one in (True, False))
        return [*telling[:1], *made, *telling[1:TELLING], *rules, *telling[TELLING:]][:TRIES]

    def _first(self, checks: Sequence[Check], stage: Callable[[Check], Iterator[Combination]]) -> list[Combination]:
        """Those that explain the first of the checks that any of them explains."""
        for check in checks:
            found = [each for each in stage(check) if self.budget.left > 0 and self.explains(each, check)]
            if found := [each for each in found if not self.contradicted(each)]:
                return found
        return []

    def _larger(self, start: Combination, check: Check) -> Iterator[Combination]:
        """With one mistake more that is likely, if need be in the place of a style; with any to begin with, for others
        may hide it in checks that pass."""
        inert, kinds = self.inert(check), self.likely if start else self.kinds
        for kind in (each for each in kinds if each not in inert):
            fitting = (each for each in dict.fromkeys((start, plain(start))) if compatible(each, kind))
            yield from (joined(each, kind) for each in islice(fitting, 1))

    def _both(self, start: Combination, check: Check) -> Iterator[Combination]:
        """With one mistake more, and the style in which it shows."""
        if not any(map(is_style, start)):
            for larger in self._larger(start, check):
                added = next(kind for kind in larger if kind not in start)
                yield from (each for each in self.styled(larger, check) if steps(added) & added_style(each).beside)

    def _pairs(self, start: Combination = ()) -> list[Combination]:
        """Two mistakes more at once: on the first check that tells, or else on the one in which most mistakes show by
        themselves."""
        left = [each for each in self.sample if not self.explains(start, each)]
        telling = [each for each in left if each.telling] or left[:1]
        fullest = sorted(telling, key=lambda check: (len(self.inert(check)), check.cost))
        for check in dict.fromkeys([*telling[:1], *fullest[:1]]):
            if found := self._pairs_on(start, check):
                return found
        return []

    def _pairs_on(self, start: Combination, check: Check) -> list[Combination]:
        active = [kind for kind in self.likely if kind not in self.inert(check) and compatible(start, kind)]
        budget, found = Budget(CALLS_FOR_PAIRS), list[Combination]()
        for first, second in _in_pairs(active):
            if compatible((first,), second):
                if self.budget.left <= 0 or not budget.spend(check.cost):
                    break
                pair = joined(joined(start, first), second)
                found += [pair] if self.explains(pair, check) else []
        return found


def _in_pairs(kinds: Sequence[Kind]) -> Iterator[tuple[Kind, Kind]]:
    """Two of each, those first that people make most."""
    yield from _by_place([kind for kind in kinds if kind.often])
    yield from (pair for pair in _by_place(kinds) if not all(kind.often for kind in pair))


def _by_place(kinds: Sequence[Kind]) -> Iterator[tuple[Kind, Kind]]:
    """Two of each, those first whose places in the list are low."""
    count = len(kinds)
    for total in range(1, 2 * count - 2):
        for i in range(max(0, total - count + 1), (total + 1) // 2):
            yield kinds[i], kinds[total - i]
