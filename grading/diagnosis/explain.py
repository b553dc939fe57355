"""Which of the mistakes that a search found are proven, and which checks each of them explains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, product

from grading.diagnosis.mistake import (
    Combination,
    Kind,
    compatible,
    is_style,
    joined,
    mixed,
    name,
    named,
    proves,
    without,
)
from grading.diagnosis.replay import Check, test_of
from grading.diagnosis.search import Search

MOST_OF_ALL = 0.8  # where it explains as much as that, a mistake may rest on so much NaN or one error
SPARED = 0.05  # of the checks that it explains: as many others may fail in which another mistake is not found
SPARED_OF_MANY = 0.7  # the same where numbers of many tests are explained, which is no chance
MANY_TESTS = 6
FEW = 2  # checks explained: of so few, those of the same tests that passed have to pass with the mistake, too
LONE = 5  # checks that fail: of more than that, one that is explained by itself may be so by chance
ALTERNATIVES = 3  # more possibilities than that say nothing


class Explained:
    """What was found for one class or function: combinations of which each would do, and what each mistake explains."""

    def __init__(self, search: Search, options: Sequence[Combination]) -> None:
        self._search = search
        self._found = options[:ALTERNATIVES]
        self._alternatives = frozenset(each for option in self._found for each in named(option))
        proven = [self._proven(option) for option in self._found]
        self.options = list({named(option): option for option in reversed(proven) if named(option)}.values())[::-1]
        self.facts = list(self._facts(self.options[0] if self.options else ()))

    def _proven(self, found: Combination) -> Combination:
        """What was found without the mistakes that are not needed, or that could as well be others."""
        kept, before = self._worthwhile(found), None
        while kept != before:  # what rested on those that are gone goes, too
            before = kept
            # what rests on shapes alone comes last, when those that are not proven are gone
            for kind in sorted(kept, key=lambda kind: _on_shapes(self.explains(before, kind))):
                if not self.explains(kept, kind) or (not is_style(kind) and not self._sure(found, kept, kind)):
                    kept = without(kept, kind)
        return kept

    def _worthwhile(self, found: Combination) -> Combination:
        """Without the mistakes that leave more checks unexplained than they explain."""
        for kind in found:
            search, rest = self._search, without(found, kind)
            lost = sum(search.explains(rest, each) and not search.explains(found, each) for each in search.failed)
            if lost > len(self.explains(found, kind)):
                return self._worthwhile(rest)
        return found

    def explains(self, combination: Combination, kind: Kind) -> list[Check]:
        """The failed checks that the combination explains and would not without this mistake."""
        return self._explained(self._search.failed, combination, kind)

    def explains_besides(self, combination: Combination, kind: Kind) -> list[Check]:
        """What a mistake that is proven explains besides: checks that are too long for the search, and those in which
        shapes do not fit, in other words than the learner's code has, and would without the mistake."""
        search, rest = self._search, without(combination, kind)
        left = [c for c in search.failed if c.shapes_raised and not search.explains(combination, c)]
        failing = [c for c in left if search.fails(combination, c) and not search.fails(rest, c)]
        return [*self._explained(search.long, combination, kind), *failing]

    def _explained(self, checks: Sequence[Check], combination: Combination, kind: Kind) -> list[Check]:
        search, rest = self._search, without(combination, kind)
        return [c for c in checks if search.explains(combination, c) and not search.explains(rest, c)]

    def _sure(self, found: Combination, combination: Combination, kind: Kind) -> bool:
        """Numbers that chance does not give, or a rule that no other mistake breaks in this way."""
        every = self.explains(combination, kind)
        explained = [check for check in every if not check.shapes_raised]
        if self._refuted(found, combination, kind, every) or self._went_well(combination, explained):
            return False
        if _on_shapes(every):
            return self._sure_of_shapes(combination, kind, every)
        several = len(named(combination)) > 1 or (len(self._search.failed) > LONE and not proves(kind))
        if len(explained) == 1 and several and not (explained[0].strict or _constructor(explained)):
            tells = self._tells_alone(combination, explained[0])
            return tells and self._in_every_option(kind) and not self._others(combination, kind, explained)
        if any(check.telling for check in explained):
            return True
        in_half = bool(explained) and all(map(self._in_half_alone, explained))
        sure = in_half or self._sure_of_plain(combination, explained)
        return sure and not self._others(combination, kind, explained)

    def _tells_alone(self, combination: Combination, check: Check) -> bool:
        """Whether one check of many is no chance."""
        return self._in_half_alone(check) or ((check.telling or check.half) and self._complete(combination))

    def _in_half_alone(self, check: Check) -> bool:
        """Whether it is about what overflows in half precision alone: the same test passes in other dtypes."""
        return check.half and any(test_of(other) == test_of(check) for other in self._search.went_well)

    def _sure_of_shapes(self, combination: Combination, kind: Kind, explained: Sequence[Check]) -> bool:
        """Shapes do not fit, in words that many mistakes end in: one must explain many of them, and be alone or leave
        nothing unexplained; and with it shapes must not fit where they do not."""
        words = {check.steps[-1].error for check in explained if check.shapes_raised}
        alone = self._alone(combination, kind) and self._in_every_option(kind)
        failed, count = self._search.failed, len(explained)
        left = self._left(combination)
        fitting = sum(check.shapes_raised and not self._search.fails(combination, check) for check in left)
        several = len(words) > 2 and 2 * count > sum(check.shapes_raised for check in failed)
        many = several or 2 < count >= MOST_OF_ALL * len(failed)
        if fitting > SPARED * count or not many:
            return False
        return (alone or self._nearly_complete(combination)) and not self._others(combination, kind, explained)

    def _sure_of_plain(self, combination: Combination, explained: Sequence[Check]) -> bool:
        """Values that chance gives too, or errors: there must be many, or nothing else."""
        if _constructor(explained):
            return True
        failed, count = self._search.failed, len(explained)
        numbers = sum(not check.blank for check in explained)
        if 1 < numbers > count / 2 and self._nearly_complete(combination):
            return True
        most = count >= MOST_OF_ALL * len(failed)
        errors = {check.steps[-1].error for check in explained if check.steps[-1].error}
        if not errors and 2 * (count - numbers) > count:
            blank = [check for check in failed if check.blank and not check.raised()]
            several = len({test_of(check) for check in explained}) > 1
            every_blank = several and all(self._search.explains(combination, check) for check in blank)
            return count > 1 and (every_blank or most or self._nearly_complete(combination))
        raised = sum(bool(check.raised()) for check in explained)
        if raised == count:  # in words that no other mistake ends in
            return count > 2
        if 2 * raised > count:
            return len(errors) > 1
        return most or 1 < count >= len(failed) / 3

    def _alone(self, combination: Combination, kind: Kind) -> bool:
        """Whether the others that are named, if there are any, are about one precision and nothing else."""
        others = [each for each in combination if name(each) in named(combination) - {name(kind)}]
        return all(check.strict or check.half for each in others for check in self.explains(combination, each))

    def _in_every_option(self, kind: Kind) -> bool:
        return all(name(kind) in named(option) for option in self._found)

    def _left(self, combination: Combination) -> list[Check]:
        """The failed checks that it does not explain."""
        return [check for check in self._search.failed if not self._search.explains(combination, check)]

    def _complete(self, combination: Combination) -> bool:
        """Whether it explains all that fails."""
        return not self._left(combination)

    def _nearly_complete(self, combination: Combination) -> bool:
        """Whether it leaves next to nothing unexplained."""
        return len(self._left(combination)) <= SPARED * len(self._search.failed)

    def _refuted(self, found: Combination, combination: Combination, kind: Kind, every: Sequence[Check]) -> bool:
        """Whether failed checks that nothing explains which was found speak against it: the same tests on other sizes,
        with numbers that differ."""
        explained = [check for check in every if not check.shapes_raised] or every
        program, tests = mixed(self._search.program, combination), {_tested(check) for check in explained}
        both = (found, combination)
        left = [c for c in self._search.failed if not any(self._search.explains(each, c) for each in both)]
        left = [c for c in left if not self._search.breaks(without(found, kind), c)]
        few = 10 * len(every) < len(self._search.failed)
        alike = (c for c in left if _tested(c) in tests and not (c.half or (c.has_mask and not few)))
        told = len({test_of(check) for check in explained if check.telling})
        numbers = sum((check.telling or few or not told) and not check.raised() for check in alike)
        spared = SPARED_OF_MANY if told >= MANY_TESTS else SPARED if told else 0.0
        dropped = (check for check in self._search.passed if check.has_dropout)  # chance, but for what was dropped
        return numbers > spared * len(explained) or any(kind.refuted(check, program) for check in (*left, *dropped))

    def _went_well(self, combination: Combination, explained: Sequence[Check]) -> bool:
        """Whether the same test passed with other sizes or dtypes, where it would have failed, too. What a constructor
        refuses hangs on how it counts."""
        tests = set() if _constructor(explained) else {test_of(check) for check in explained}
        alike = (check for check in self._search.went_well if test_of(check) in tests)
        asked = len(explained) <= FEW or all(check.half for check in explained)
        return asked and any(self._search.speaks_against(check, combination) for check in alike)

    def _others(self, combination: Combination, kind: Kind, explained: Sequence[Check]) -> list[Kind]:
        """The mistakes that would explain as much in its place, but for those that are named as an alternative or give
        way to it."""
        search, rest, tests = self._search, without(combination, kind), {test_of(check) for check in explained[:3]}
        shown = [check for check in search.failed if test_of(check) in tests and search.explains(combination, check)]
        taken = named(rest) | {name(kind)} | self._alternatives
        found = [each for each in search.kinds if name(each) not in taken and compatible(rest, each)]
        found = [each for each in found if kind.last or not each.last]
        found = [each for each in found if all(search.explains(joined(rest, each), check) for check in shown)]
        rank = search.rank(combination)[0]
        found = [each for each in found if search.rank(joined(rest, each))[0] <= rank]
        found = [each for each in found if not self._went_well(joined(rest, each), explained)]
        return [each for each in found if not search.contradicted(joined(rest, each))]

    def _facts(self, combination: Combination) -> Iterator[dict[Kind, list[Check]]]:
        """The mistakes that checks show which no combination of steps explains: one of those that show the same."""
        search, program, taken = self._search, mixed(self._search.program, combination), set(map(name, combination))
        left = self._left(combination)
        puzzling = [check for check in left if not check.has_dropout]
        known = 2 * len(puzzling) <= sum(not check.has_dropout for check in search.failed)
        proving = {name(kind): kind for kind in reversed(search.kinds) if proves(kind) and name(kind) not in taken}
        kinds = [kind for kind in search.kinds if kind in proving.values()]
        found = {kind: [check for check in left if kind.shows(check, program)] for kind in kinds}
        found = {
            kind: checks
            for kind, checks in found.items()
            if not puzzling or kind.enough == 1 or (known and len(checks) >= kind.enough)
        }
        found = {kind: checks for kind, checks in found.items() if not any(kind.refuted(c, program) for c in left)}
        alike: dict[tuple[str, ...], list[Kind]] = {}
        for kind, checks in found.items():
            alike.setdefault(tuple(check.name for check in checks), []).append(kind)
        for choice in islice(product(*(kinds for names, kinds in alike.items() if names)), ALTERNATIVES):
            yield {kind: found[kind] for kind in choice}


def _on_shapes(checks: Sequence[Check]) -> bool:
    """Whether most of them end in shapes that do not fit, and the others in no numbers that tell."""
    others = [check for check in checks if not check.shapes_raised]
    return not any(check.telling for check in others) and 2 * len(others) < len(checks)


def _tested(check: Check) -> tuple[str, bool]:
    """The test, and whether it gets as far as numbers."""
    return test_of(check), check.made_right


def _constructor(checks: Sequence[Check]) -> bool:
    """Whether they are about what a constructor raises."""
    return all(check.steps[-1].request["do"] == "make" and not check.made_right for check in checks)
