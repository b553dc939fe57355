"""Which mistakes together explain the failed checks of one class or function.

A combination grows where it leaves a check unexplained, by one mistake at a time: rule checks show one slip each, and
what they show is carried on to the checks in which several meet. Counted in runs of a program and not in seconds, so
that the same answers get the same causes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from grading.diagnosis.program import Combination, Kind, Program, compatible, is_style, mixed, name, of_program, proves
from grading.diagnosis.replay import Check

MOST = 4  # mistakes that are named together
STYLES = 1
WIDTH = 5  # combinations that are grown further
TRIES = 9  # checks on which a combination is tried to be grown
SAMPLE = 14  # checks by which combinations are ranked
RUNS = 2200  # of a program: about 0.2 ms each
PAIR_RUNS = 1200


class Budget:
    """How many runs are left."""

    def __init__(self, runs: int) -> None:
        self.left = runs

    def spend(self) -> bool:
        self.left -= 1
        return self.left >= 0


class Search:
    """The search for one class or function.

    Args:
        failed, passed: its checks, in the order of the grader.
    """

    def __init__(
        self, program: type[Program], kinds: Iterable[Kind], failed: Sequence[Check], passed: Sequence[Check]
    ) -> None:
        self.program = program
        fitting = of_program(program, kinds)
        self.kinds = tuple(kind for kind in fitting if not is_style(kind))
        self.styles = tuple(kind for kind in fitting if is_style(kind))
        self.failed = [check for check in failed if check.usable]
        self.sample = first_of_each(self.failed)[:SAMPLE]
        self.passed = first_of_each([c for c in passed if c.usable and c.size < 1 << 16 and not c.half])
        self.budget = Budget(RUNS)
        self._known: dict[tuple[Combination, str], bool] = {}
        # the mistakes that by themselves change nothing in a check
        self._inert: dict[str, set[Kind]] = {check.name: set() for check in self.failed}
        for check in self.failed:
            check.compare_with(program)

    def found(self) -> list[Combination]:
        """The combinations that explain most, the simplest of them; several where each explains as much."""
        if not self.failed:
            return []
        frontier: list[Combination] = [()]
        best: list[Combination] = []
        for _ in range(MOST):
            grown = sorted({each for start in frontier for each in self._grown(start)}, key=self._rank)
            frontier = [each for each in grown if each not in frontier][:WIDTH]
            if not frontier:
                break
            best = sorted([*best, *frontier], key=self._rank)
            if self.budget.left <= 0 or all(self.explains(best[0], check) for check in self.sample):
                break
        return self._simplest(best)

    def _simplest(self, ranked: Sequence[Combination]) -> list[Combination]:
        """Of those that no passed check contradicts the best, and its equals by name."""
        chosen: list[Combination] = []
        for each in ranked:
            if chosen and self._rank(each)[:2] != self._rank(chosen[0])[:2]:
                break
            if named(each) and named(each) not in map(named, chosen) and not self._contradicted(each):
                chosen.append(each)
        return chosen

    def _rank(self, combination: Combination) -> tuple[float, int, int, tuple[int, ...]]:
        """How many checks of the sample it explains, of how many mistakes and styles it is, and its place."""
        explained = sum(0.5 if check.half else 1.0 for check in self.sample if self.explains(combination, check))
        order = tuple(sorted(self.kinds.index(kind) for kind in combination if kind in self.kinds))
        return -explained, len(named(combination)), len(combination), order

    def explains(self, combination: Combination, check: Check) -> bool:
        """Whether the program with these mistakes gives what the learner's code gave, or a fact shows one of them."""
        key = combination, check.name
        if key not in self._known:
            self.budget.spend()
            program = mixed(self.program, combination)
            in_place = any(kind.in_place for kind in combination)
            explained, unmoved = check.judged(program, in_place)
            self._known[key] = explained or any(kind.shows(check, program) for kind in combination if proves(kind))
            if unmoved and len(combination) == 1:
                self._inert[check.name].update(combination)
        return self._known[key]

    def _contradicted(self, combination: Combination) -> bool:
        """Whether a check that passed would not have passed with these mistakes."""
        program = mixed(self.program, combination)
        in_place = any(kind.in_place for kind in combination)
        return any(
            not check.explained_by(program, in_place) and check.explained_by(self.program) for check in self.passed
        )

    # ------------------------------------------------------------------------------------------- growing

    def _grown(self, start: Combination) -> list[Combination]:
        """The combinations with one mistake more that explain a check more."""
        tried = 0
        for check in self.sample:
            if self.explains(start, check) or self.budget.left <= 0:
                continue
            found = [each for each in self._larger(start, check) if self.explains(each, check)]
            if found := found or [each for each in self._styled(start, check) if self.explains(each, check)]:
                return found
            tried += 1
            if tried == TRIES:
                break
        return [] if start else self._pairs()

    def _larger(self, start: Combination, check: Check) -> Iterator[Combination]:
        inert = self._inert[check.name]
        for kind in self.kinds:
            if kind not in inert and compatible(start, kind):
                yield joined(start, kind)

    def _styled(self, start: Combination, check: Check) -> Iterator[Combination]:
        """With a style more: of what is there, and of each mistake that has to do with a mask."""
        if sum(map(is_style, start)) >= STYLES:
            return
        active = [kind for kind in self.styles if kind not in self._inert[check.name] and compatible(start, kind)]
        for style in active:
            if start:
                yield joined(start, style)
            for larger in self._larger(start, check):
                if self.budget.left > 0 and compatible(larger, style):
                    yield joined(larger, style)

    def _pairs(self) -> list[Combination]:
        """Two mistakes at once, on a check in which no single one explains all."""
        check = next((each for each in self.sample if each.telling), None)
        if check is None:
            return []
        active = [kind for kind in self.kinds if kind not in self._inert[check.name]]
        budget = Budget(PAIR_RUNS)
        found = []
        for total in range(1, 2 * len(active)):
            for i in range(max(0, total - len(active) + 1), (total + 1) // 2):
                first, second = active[i], active[total - i]
                if compatible((first,), second) and budget.spend() and self.budget.left > 0:
                    pair = joined((first,), second)
                    found += [pair] if self.explains(pair, check) else []
        return found


def joined(combination: Combination, kind: Kind) -> Combination:
    """One more, in an order that does not depend on how it was found."""
    return tuple(sorted((*combination, kind), key=lambda each: (each.__module__, each.__name__)))


def named(combination: Combination) -> frozenset[str]:
    """The names of the mistakes in it; styles have none."""
    return frozenset(name(kind) for kind in combination if not is_style(kind))


def first_of_each(checks: Sequence[Check]) -> list[Check]:
    """One check of each test."""
    return list({check.name.partition("[")[0]: check for check in reversed(checks)}.values())[::-1]
