"""Failed checks -> causes: the fewest mistakes that explain the most of them, each with the checks that it explains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, product

import torch

from grading.diagnosis.explain import Explained
from grading.diagnosis.mistake import Combination, Kind, compatible, forget_mixed, mixed, name, plain, sentence, without
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from grading.diagnosis.search import Search
from grading.records import Cause

MOST = 0.5  # of the checks behind layers that are made wrong


@torch.no_grad()  # programs of which gradients are asked have theirs
def causes(
    programs: Mapping[str, type[Program]], kinds: Iterable[Kind], failed: Sequence[Check], passed: Sequence[Check]
) -> list[Cause]:
    """What explains the failed checks, the one that explains most first.

    Args:
        programs: by the name of the class or function.
        failed, passed: the checks of one kata, in the order of the grader.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            found = [_of_one(symbol, programs[symbol], kinds, failed, passed) for symbol in programs]
    finally:
        forget_mixed()
    causes: dict[tuple[str, int], Cause] = {}
    for number, parts in enumerate(product(*(options for options in found if options))):
        for cause in (each for part in parts for each in part):
            known = causes.get((cause.name, number))
            explains = tuple(dict.fromkeys([*(known.explains if known else ()), *cause.explains]))
            causes[cause.name, number] = Cause(cause.name, cause.sentence, cause.notebook, number, explains)
    return sorted(causes.values(), key=lambda cause: (cause.alternative, -len(cause.explains)))


def _of_one(
    symbol: str, program: type[Program], kinds: Iterable[Kind], failed: Sequence[Check], passed: Sequence[Check]
) -> list[list[Cause]]:
    """The possibilities for one class or function, each a list of causes that hold together."""
    failed, passed = ([c for c in checks if c.symbol == symbol] for checks in (failed, passed))
    for check in (*failed, *passed):
        check.in_order = program.in_order
    search = Search(program, kinds, failed, passed)
    explained = Explained(search, search.found())
    options = [
        _proven(explained, option, facts) + _in_digits(search, option) + _behind(search, option, facts)
        for option in explained.options or [()]
        for facts in explained.facts
    ]
    return [causes for causes in options if causes]


def _in_digits(search: Search, option: Combination) -> list[Cause]:
    """What is done in float32 besides: the numbers of the check that asks for float64 work differ from those of a
    program with the other mistakes by so little."""
    failed = [check for check in search.failed if check.asks_for_digits and check.made_right and not check.strict]
    again = [check.again() for check in failed if option and search.explains(option, check)]
    if not again:
        return []
    kinds = [kind for kind in search.kinds if compatible(option, kind)]
    rest = Search(mixed(search.program, option), kinds, again, ())
    if not again[0].differs_in_digits():
        return []
    explained = Explained(rest, rest.alone(again[0]))
    return _proven(explained, (explained.options or [()])[0], explained.facts[0])


def _behind(search: Search, option: Combination, facts: Mapping[Kind, Sequence[Check]]) -> list[Cause]:
    """What is wrong besides where layers have other parameters than they should: their calls, with weights that fit,
    beside a program whose layers have the same. It has to explain most of them, or these layers do something else."""
    program = mixed(search.program, option)
    misfits = [check for check in search.failed if not check.made_right and search.explains(option, check)]
    elsewhere = [*chain(*(facts[kind] for kind in facts if kind.elsewhere))]
    if any(kind.elsewhere for kind in option):
        elsewhere += misfits
    again = [check.made_by(program) for check in elsewhere] or [check.again() for check in misfits]
    right = [check for check in again if check.takes_weights and check.explained_by(program)]
    if not right:
        return []
    known = [_cause(kind, _needing(kind, option, search.program, right)) for kind in plain(option)]
    kinds = [kind for kind in (*search.kinds, *search.styles) if kind not in facts and compatible(option, kind)]
    rest = Search(program, kinds, [check for check in again if check not in right], [*search.passed, *right])
    explained = Explained(rest, rest.found())
    best = (explained.options or [()])[0]
    told = [check for check in again if check.numbers]  # an error is one that many mistakes end in
    reproduced = [check for check in told if check in right or rest.explains(best, check)]
    if not told or len(reproduced) < MOST * len(told):
        return known
    return known + _proven(explained, best, explained.facts[0])


def _needing(kind: Kind, option: Combination, program: type[Program], checks: Sequence[Check]) -> list[Check]:
    """The checks that a combination would not explain without one of its mistakes."""
    rest = mixed(program, without(option, kind))
    return [check for check in checks if not check.explained_by(rest)]


def _proven(explained: Explained, option: Combination, facts: Mapping[Kind, Sequence[Check]]) -> list[Cause]:
    """The mistakes of one possibility and what checks show beside them, each with the checks that it explains."""
    found = [(kind, explained.explains(option, kind)) for kind in plain(option)]
    found = [(kind, checks and [*checks, *explained.explains_besides(option, kind)]) for kind, checks in found]
    return [_cause(kind, checks) for kind, checks in [*found, *facts.items()] if checks]


def _cause(kind: Kind, checks: Sequence[Check]) -> Cause:
    page, _, section = kind.see.partition("#")
    return Cause(name(kind), sentence(kind), f"{page}.ipynb#{section}", 0, tuple(check.name for check in checks))
