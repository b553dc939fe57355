"""Which mistakes together explain the failed checks of one class or function.

A combination grows where it leaves a check unexplained, by one mistake at a time: checks of single rules show one slip
each, and what they show is carried on to the checks in which several meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice

from grading.diagnosis.budget import Budget
from grading.diagnosis.mistake import (
    Combination,
    Kind,
    added_style,
    compatible,
    is_style,
    joined,
    mixed,
    named,
    of_program,
    proves,
    steps,
    without,
)
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check, first_of_each, test_of

MOST = 4  # mistakes that are named together
WIDTH = 5  # combinations that are grown at once, where they explain as much
TRIES = 8  # checks on which a combination is tried to be grown
TELLING = 3  # of them that come first for their numbers; then those that look at one rule
SAMPLE = 14  # checks by which combinations are ranked
WORK = 4  # most that a call may take of a check in the sample: with a mistake in it, it may take the square of that
FURTHER = 8  # checks more, of those that the best combination does not explain
FEWEST = 130  # mistakes: a program in which fewer can be made gets as many calls
CALLS = 36  # of programs in all, for each mistake that can be made in one: about 0.2 ms each
CALLS_TO_BEGIN = 14  # for the first mistakes: what is larger is grown from them, and takes the rest
CALLS_TO_EXCHANGE = 4  # at the end, a mistake for another
CALLS_A_ROUND = 3  # of growing what explains as much
CALLS_FOR_PAIRS = 700  # at once: of two mistakes, or of one and a style
AT_ONCE = 3  # passed checks that say which mistakes are tried in pairs first
PATIENCE = 3  # rounds of growing that bring nothing better
PARTS = 6  # combinations that are grown further though they explain a part only
PART = 0.2  # what it counts for that they do


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
        # an error's words depend on how a line is written: numbers say more
        answered = {test_of(check) for check in self.failed if not check.raised()}
        self._numbers = any(not check.raised() for check in self.failed)
        fit = [c for c in self.failed if not c.raised() or test_of(c) not in answered]
        self._fit = [check for check in fit if check.work <= WORK] or fit[:1]
        self.sample = first_of_each(self._fit)[:SAMPLE]
        firsts = first_of_each([c for c in passed if c.usable and c.size < 1 << 16 and not c.half])
        self.passed = sorted(firsts, key=lambda check: check.has_mask)  # with a mask, several styles have to be tried
        self._worth = max(len(self.kinds), FEWEST)  # of a round in which each mistake is tried once, in calls
        self.budget = Budget(CALLS * self._worth)
        self._known: dict[tuple[Combination, str], bool] = {}
        self._partly: dict[str, dict[Combination, int]] = {}  # what gives some of the wrong tensors of a check
        self._failing: set[tuple[Combination, str]] = set()  # what fails where the learner's code does, in other words
        self._inert_kinds: dict[str, set[Kind]] = {}
        for check in self.failed:
            check.compare_with(program)
        self._sound: dict[Combination, bool] = {}
        self._single: dict[str, list[Combination]] = {}  # the mistakes that by themselves explain a check
        self._right: dict[str, bool] = {}

    def weight(self, check: Check) -> float:
        """What it counts for that a check is explained: half precision rounds, and in one shape error many mistakes
        end, which says next to nothing beside numbers."""
        if check.shapes_raised and self._numbers:
            return 0.05
        return 0.5 if check.half else 1.0

    def _inert(self, check: Check) -> set[Kind]:
        """The mistakes that by themselves change nothing in a check, as far as is known."""
        if check.name not in self._inert_kinds:
            kinds = (*self.kinds, *self.styles)
            self._inert_kinds[check.name] = {kind for kind in kinds if self._is_inert(kind, check)}
        return self._inert_kinds[check.name]

    def _is_inert(self, kind: Kind, check: Check) -> bool:
        """Whether the mistake alone cannot be seen in a check: in no step that it has."""
        return steps(kind) <= self.program.idle(check) and not proves(kind)

    def found(self) -> list[Combination]:
        """The combinations that explain most, the simplest of them; several where each explains as much."""
        if not self.failed:
            return []
        with self.budget.no_more_than(self.budget.left - CALLS_TO_EXCHANGE * self._worth):
            best = self._climb(self._begun())
            if best and (further := self._unexplained(best[0])):
                self.sample += further
                best = self._climb(best[:WIDTH])
        if best and (better := self._exchanged(best[0])):
            best = self._climb([*better, *best])
        return self._simplest(best)

    def _exchanged(self, best: Combination) -> list[Combination]:
        """One mistake of it exchanged for another, where that explains more: it may have been begun with chance."""
        left = self._left(best)[:2]
        found = [each for kind in best for each in self._first(left, partial(self._larger, without(best, kind)))]
        return [each for each in dict.fromkeys(found) if self.rank(each) < self.rank(best)]

    def _unexplained(self, combination: Combination) -> list[Check]:
        """Checks beyond the sample that it does not explain, also other ones of the same tests."""
        others = [check for check in self._fit if check not in self.sample]
        return first_of_each([check for check in others if not self.explains(combination, check)])[:FURTHER]

    @property
    def order(self) -> list[Check]:
        """The sample, with the checks first that say most for the least work."""
        return sorted(self.sample, key=lambda check: (bool(check.raised()), check.has_mask, check.cost > 1))

    def _begun(self) -> list[Combination]:
        """Single mistakes, where they do not do much also with the style in which they show; what gives a part of a
        check, where none is found; two at once, where there is none of that."""
        left = self._left(())
        with self.budget.no_more_than(CALLS_TO_BEGIN * self._worth):
            singles = self._singles(left)
        if not singles or not self._does(singles[0], 0.5):
            rest = [check for check in self.order[:3] if not any(self.explains(each, check) for each in singles)]
            with self.budget.no_more_than(CALLS_FOR_PAIRS):
                singles += self._first(rest, lambda check: self._both((), check))
            singles += self._parts((), self.sample)
        return singles or self._pairs()

    def _singles(self, left: Sequence[Check]) -> list[Combination]:
        """Single mistakes: of the first check; where they do not do much, of others too, those first that look at one
        rule."""
        singles: list[Combination] = []
        for checks in (left[:1], self._rules_first()):
            alone = [each for check in checks for each in self.alone(check)]
            singles = self._ranked(dict.fromkeys([*singles, *alone]))
            if singles and self._does(singles[0], 0.5):
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
            before = self.rank(best[0])
            if larger := {each for start in frontier for each in self._united(start)} - set(best):
                grown.update(frontier)
            else:
                larger = self._grown_of_all(frontier, grown) - set(best)
            best = self._ranked([*best, *(each for each in larger if not self.contradicted(each))])
            idle = idle + 1 if self.rank(best[0]) == before else 0
        return best

    def _grown_of_all(self, frontier: Sequence[Combination], grown: set[Combination]) -> set[Combination]:
        """What combinations of one rank grow to: all, unless that takes long and one of them has led further."""
        found, enough = set[Combination](), self.budget.left - CALLS_A_ROUND * self._worth
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

    def _does(self, combination: Combination, share: float) -> bool:
        explained = sum(self.weight(check) for check in self.sample if self.explains(combination, check))
        return explained >= share * sum(map(self.weight, self.sample))

    def _simplest(self, ranked: Sequence[Combination]) -> list[Combination]:
        """The best, and its equals under other names."""
        chosen: list[Combination] = []
        for each in ranked[: 4 * WIDTH]:
            if self.contradicted(each):  # as what gives a part of a check may be
                continue
            if chosen and self.rank(each)[:2] != self.rank(chosen[0])[:2]:
                break
            if named(each) and named(each) not in map(named, chosen):
                chosen.append(each)
        counts = [sum(self.explains(each, check) for check in self.failed) for each in chosen]
        return [each for each, count in zip(chosen, counts, strict=True) if count == max(counts)]

    def rank(self, combination: Combination) -> tuple[float, int, int, tuple[int, ...]]:
        """How many checks of the sample it explains, of how many mistakes and styles it is, and its place."""
        explained = sum(self.weight(check) for check in self.sample if self.explains(combination, check))
        explained += sum(0.1 for check in self.sample if (combination, check.name) in self._failing)
        explained += sum(PART for check in self.sample if combination in self._partly.get(check.name, ()))
        order = tuple(sorted(self.kinds.index(kind) for kind in combination if kind in self.kinds))
        return -explained, len(named(combination)), len(combination), order

    def explains(self, combination: Combination, check: Check) -> bool:
        """Whether the program with these mistakes gives what the learner's code gave, or a fact shows one of them."""
        key = combination, check.name
        if key not in self._known:
            program = mixed(self.program, combination)
            explained, parts, fails, unmoved, calls = check.judged(program)
            self.budget.spend(calls * check.work)
            explained = explained or any(kind.shows(check, program) for kind in combination if proves(kind))
            self._known[key] = explained
            if fails and not explained:
                self._failing.add(key)
            if parts and not explained:
                self._partly.setdefault(check.name, {})[combination] = parts
            if unmoved and len(combination) == 1:
                self._inert(check).update(combination)
        return self._known[key]

    def contradicted(self, combination: Combination) -> bool:
        """Whether a check that passed would not have passed with these mistakes."""
        if combination not in self._sound:
            refuting = (check for check in self.passed if self._refutes(check, combination) and self._as_right(check))
            against = list(islice(refuting, 2))
            # one may hang on how a line is written, where the shapes of masks meet that do not fit
            many = sum(self.explains(combination, check) for check in self.sample) >= 8
            self._sound[combination] = not against or (many and len(against) == 1 and against[0].has_mask)
        return not self._sound[combination]

    def _refuted_at_once(self, kind: Kind) -> bool:
        """Whether one of the first checks that passed would not have passed with this mistake."""
        return any(self._refutes(check, (kind,)) and self._as_right(check) for check in self.passed[:AT_ONCE])

    def _refutes(self, check: Check, combination: Combination) -> bool:
        """Whether the learner's code gives other numbers, in whatever style what a mask hides is treated."""
        if not check.refutes(mixed(self.program, combination)):
            return False
        styled = self._styled(combination, check, True) if check.has_mask else ()
        return all(check.refutes(mixed(self.program, each)) for each in styled)

    def _as_right(self, check: Check) -> bool:
        """Whether a check that passed is one that the right program reproduces."""
        if check.name not in self._right:
            self._right[check.name] = check.explained_by(self.program)
        return self._right[check.name]

    # ------------------------------------------------------------------------------------------- growing

    def _grown(self, start: Combination) -> list[Combination]:
        """The combinations with one mistake more that explain a check more."""
        if len(named(start)) == MOST:
            return []
        left = self._left(start)
        stages = (lambda check: self._styled(start, check, True), lambda check: self._larger(start, check))
        for stage in stages:
            if found := self._first(left, stage):
                return found
        return (
            self._parts(start, left)
            or self._first(left, lambda check: self._styled(start, check, False))
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
        """Those that give more of the wrong tensors of a check."""
        found: list[Combination] = []
        for known in (self._partly.get(check.name, {}) for check in left):
            found += [each for each, parts in known.items() if set(start) < set(each) and parts > known.get(start, 0)]
        return list(dict.fromkeys(found))[:PARTS]

    def _left(self, start: Combination) -> list[Check]:
        """What it is grown on: checks whose numbers say most, then those that look at one rule."""
        left = [check for check in self.order if not self.explains(start, check)]
        telling, rules = ([check for check in left if check.telling is one] for one in (True, False))
        return [*telling[:TELLING], *rules, *telling[TELLING:]][:TRIES]

    def _first(self, checks: Sequence[Check], stage: Callable[[Check], Iterator[Combination]]) -> list[Combination]:
        """Those that explain the first of the checks that any of them explains."""
        for check in checks:
            found = [each for each in stage(check) if self.budget.left > 0 and self.explains(each, check)]
            if found := [each for each in found if not self.contradicted(each)]:
                return found
        return []

    def _larger(self, start: Combination, check: Check) -> Iterator[Combination]:
        """With one mistake more."""
        inert = self._inert(check)
        return (joined(start, kind) for kind in self.kinds if kind not in inert and compatible(start, kind))

    def _styled(self, start: Combination, check: Check, sound: bool | None = None) -> Iterator[Combination]:
        """With a style more, of those that are right by themselves, or of the others."""
        if start and not any(map(is_style, start)):
            fitting = (style for style in self.styles if sound in (None, style.sound))
            inert = self._inert(check) if sound is None else ()
            yield from (joined(start, style) for style in fitting if style not in inert and compatible(start, style))

    def _both(self, start: Combination, check: Check) -> Iterator[Combination]:
        """With one mistake more, and the style in which it shows."""
        if not any(map(is_style, start)):
            for larger in self._larger(start, check):
                added = next(kind for kind in larger if kind not in start)
                yield from (each for each in self._styled(larger, check) if steps(added) & added_style(each).beside)

    def _pairs(self) -> list[Combination]:
        """Two mistakes at once: on the first check that tells, or else on the one in which most mistakes show by
        themselves."""
        telling = [each for each in self.sample if each.telling] or self.sample[:1]
        fullest = sorted(telling, key=lambda check: (len(self._inert(check)), check.cost))
        for check in dict.fromkeys([*telling[:1], *fullest[:1]]):
            if found := self._pairs_on(check):
                return found
        return []

    def _pairs_on(self, check: Check) -> list[Combination]:
        active = [kind for kind in self.kinds if kind not in self._inert(check)]
        active.sort(key=self._refuted_at_once)  # what the passed checks allow comes first
        budget = Budget(max(CALLS_FOR_PAIRS, self.budget.left // 2))
        found = []
        for total in range(1, 2 * len(active)):
            for i in range(max(0, total - len(active) + 1), (total + 1) // 2):
                first, second = active[i], active[total - i]
                if compatible((first,), second) and budget.spend(check.cost) and self.budget.left > 0:
                    pair = joined((first,), second)
                    found += [pair] if self.explains(pair, check) else []
        return found
