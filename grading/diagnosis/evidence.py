"""What is known of combinations of mistakes: which failed checks they explain, which passed ones speak against them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice

from grading.diagnosis.budget import Budget
from grading.diagnosis.mistake import (
    Combination,
    Kind,
    compatible,
    is_style,
    joined,
    mixed,
    named,
    of_program,
    plain,
    proves,
    steps,
)
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check, first_of_each, test_of

SAMPLE = 14  # checks by which combinations are ranked
WORK = 4  # most that a call may take of a check in the sample: with a mistake in it, it may take the square of that
PART = 0.2  # what it counts for that one of a check's wrong tensors is reproduced, though not all
MOST_PARTS = 3  # of one check that count
FAILING = 0.1  # that a program fails where the learner's code does, in other words
FEWEST = 130  # mistakes: a program in which fewer can be made gets as many calls
CALLS = 36  # of programs in all, for each mistake that can be made in one: about 0.2 ms each
AT_ONCE = 3  # passed checks that say of every mistake whether it was made
QUICK = 2  # calls of a check that is asked first
PROBED = 24  # mistakes of which a passed check has to speak against one, or says nothing


class Evidence:
    """What programs with mistakes have to do with the checks of one class or function. Each program runs once.

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
        self._places = {kind: place for place, kind in enumerate((*self.kinds, *self.styles))}
        self.failed = [check for check in failed if check.usable]
        self.long = [check for check in failed if check.complete and not check.usable]  # run with what is named alone
        # an error's words depend on how a line is written: numbers say more
        answered = {test_of(check) for check in self.failed if not check.raised()}
        self._numbers = any(not check.raised() for check in self.failed)
        fit = [c for c in self.failed if not c.raised() or test_of(c) not in answered]
        self.fit = [check for check in fit if check.work <= WORK] or fit[:1]
        tests = first_of_each(self.fit)
        most = sorted(tests, key=lambda check: bool(check.raised()))[:SAMPLE]
        self.sample = [check for check in tests if check in most]
        self.went_well = [check for check in passed if check.usable]
        firsts = first_of_each([c for c in self.went_well if c.size < 1 << 16 and not c.half])
        self.passed = sorted(firsts, key=lambda check: check.has_mask)  # with a mask, several styles have to be tried
        self.worth = max(len(self.kinds), FEWEST)  # of a round in which each mistake is tried once, in calls
        self.budget = Budget(CALLS * self.worth)
        self._known: dict[tuple[Combination, str], bool] = {}
        self.partly: dict[str, dict[Combination, int]] = {}  # what gives some of the wrong tensors of a check
        self._failing: set[tuple[Combination, str]] = set()  # what fails where the learner's code does, in other words
        self._breaking: set[tuple[Combination, str]] = set()  # what fails where the learner's code does not
        self._inert_kinds: dict[str, set[Kind]] = {}
        for check in (*self.failed, *self.long):
            check.compare_with(program)
        self._sound: dict[Combination, bool] = {}
        self._right: dict[str, bool] = {}

    def weight(self, check: Check) -> float:
        """What it counts for that a check is explained: half precision rounds, and in one shape error many mistakes
        end, which says next to nothing beside numbers."""
        if check.shapes_raised and self._numbers:
            return 0.05
        return 0.5 if check.half else 1.0

    def inert(self, check: Check) -> set[Kind]:
        """The mistakes that by themselves change nothing in a check, as far as is known."""
        if check.name not in self._inert_kinds:
            kinds = (*self.kinds, *self.styles)
            self._inert_kinds[check.name] = {kind for kind in kinds if self._is_inert(kind, check)}
        return self._inert_kinds[check.name]

    def _is_inert(self, kind: Kind, check: Check) -> bool:
        """Whether the mistake alone cannot be seen in a check: in no step that it has."""
        return steps(kind) <= self.program.idle(check) and not proves(kind)

    def rank(self, combination: Combination) -> tuple[float, int, int, tuple[int, ...]]:
        """How many checks of the sample it explains, of how many mistakes and styles it is, and its place."""
        explained = sum(self.weight(check) for check in self.sample if self.explains(combination, check))
        explained += sum(FAILING for check in self.sample if (combination, check.name) in self._failing)
        explained += sum(PART * min(self.parts(combination, check), MOST_PARTS) for check in self.sample)
        order = tuple(sorted(self._places[kind] for kind in combination))
        return -explained, len(named(combination)), len(combination), order

    def parts(self, combination: Combination, check: Check) -> int:
        """How many of a check's wrong tensors it gives, as far as is known; 0 where it gives all."""
        return self.partly.get(check.name, {}).get(combination, 0)

    def explains(self, combination: Combination, check: Check) -> bool:
        """Whether the program with these mistakes gives what the learner's code gave, or a fact shows one of them."""
        key = combination, check.name
        if key not in self._known:
            program = mixed(self.program, combination)
            explained, parts, fails, breaks, unmoved, calls = check.judged(program)
            self.budget.spend(calls * check.work)
            explained = explained or any(kind.shows(check, program) for kind in combination if proves(kind))
            self._known[key] = explained
            if fails and not explained:
                self._failing.add(key)
            if breaks:
                self._breaking.add(key)
            if parts and not explained:
                self.partly.setdefault(check.name, {})[combination] = parts
            if unmoved and len(combination) == 1:
                self.inert(check).update(combination)
        return self._known[key]

    def fails(self, combination: Combination, check: Check) -> bool:
        """Whether the program with these mistakes fails where the learner's code does, if in other words."""
        return self.explains(combination, check) or (combination, check.name) in self._failing

    def breaks(self, combination: Combination, check: Check) -> bool:
        """Whether the program with these mistakes fails where the learner's code does not: as with sizes of 1, which
        einsum fits to others and a product of matrices does not."""
        return not self.explains(combination, check) and (combination, check.name) in self._breaking

    def contradicted(self, combination: Combination) -> bool:
        """Whether checks that passed speak against these mistakes."""
        if combination not in self._sound:
            refuting = (check for check in self.passed if self.speaks_against(check, combination))
            against = list(islice(refuting, 2))
            # one may hang on how a line is written, where the shapes of masks meet that do not fit
            many = sum(self.explains(combination, check) for check in self.sample) >= 8
            self._sound[combination] = not against or (many and len(against) == 1 and against[0].has_mask)
        return not self._sound[combination]

    def speaks_against(self, check: Check, combination: Combination) -> bool:
        """Whether this check, which passed, would have failed with these mistakes."""
        return self._refutes(check, combination) and self._as_right(check)

    @cached_property
    def likely(self) -> tuple[Kind, ...]:
        """The mistakes that may have been made: the fullest checks that passed do not speak against each by itself.
        Those with a mask are not asked, and none is asked of mistakes in masking: another mistake may hide these."""
        left = list(self.kinds)
        richest = sorted(self.passed, key=lambda check: (check.cost > QUICK, -check.numbers))
        for check in [each for each in richest if not each.has_mask and self._as_right(each)][:AT_ONCE]:
            seen = [k for k in left if not (self._is_inert(k, check) or steps(k) & self.program.masking)]
            if any(self._refutes(check, (kind,)) for kind in seen[:: max(1, len(seen) // PROBED)]):
                left = [kind for kind in left if kind not in seen or not self._refutes(check, (kind,))]
        return tuple(left)

    def _refutes(self, check: Check, combination: Combination) -> bool:
        """Whether the learner's code gives other numbers, in whatever style what a mask hides is treated."""
        if not check.refutes(mixed(self.program, combination)):
            return False
        styled = self.styled(combination, check, True) if check.has_mask else ()
        return all(check.refutes(mixed(self.program, each)) for each in styled)

    def _as_right(self, check: Check) -> bool:
        """Whether a check that passed is one that the right program reproduces."""
        if check.name not in self._right:
            self._right[check.name] = check.explained_by(self.program)
        return self._right[check.name]

    def styled(self, start: Combination, check: Check, sound: bool | None = None) -> Iterator[Combination]:
        """With a style more, of those that are right by themselves, or of the others."""
        if start and not any(map(is_style, start)):
            fitting = (style for style in self.styles if sound in (None, style.sound))
            inert = self.inert(check) if sound is None else ()
            yield from (joined(start, style) for style in fitting if style not in inert and compatible(start, style))

    def restyled(self, start: Combination) -> Iterator[Combination]:
        """With another style that is right by itself in place of the one that it has."""
        if any(map(is_style, start)):
            fitting = (style for style in self.styles if style.sound and style not in start)
            yield from (joined(plain(start), style) for style in fitting if compatible(plain(start), style))
