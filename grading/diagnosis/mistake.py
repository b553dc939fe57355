"""The steps of a program done wrong.

A mistake is a class that overrides one step of a program (program.py), or a few that belong together; a program with
mistakes in it is a class that inherits from all of them. A step that calls super() does its own on top of what is done
anyway, so that two mistakes can be made in it at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import ClassVar, TypeVar

from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check


class Mistake:
    """One step done wrong. The docstring: what it is, as an end of "exactly what you get when ..."; what it does.

    A subclass without a docstring is the same mistake written another way. One whose `see` is empty is no mistake but a
    style: right by itself, and only of use to explain what other mistakes come to in that style. It is never named.

    Attributes:
        see: the notebook section that explains it: "sdpa#Scale".
        needs: steps that a program must have besides those that are overridden.
        enough: the checks that have to show it where something else is left that nothing explains. Where that is more
            than one, it rests on what the rest of the program gives, most of which has to be explained.
        last: of several that explain as much, it is named where all are so: what comes out so by chance.
        often: it is among those that people make most: of two at once, these are tried first.
        elsewhere: all weights have a place, if another one than they should: behind it the calls go on.
        sound: of a style, whether it is right by itself.
        beside: of a style, the steps in which another mistake has to be for it to show.
        grouping: set by a class that only holds what several mistakes have in common.
    """

    see: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    enough: ClassVar[int] = 1
    last: ClassVar[bool] = False
    often: ClassVar[bool] = False
    elsewhere: ClassVar[bool] = False
    sound: ClassVar[bool] = False
    beside: ClassVar[frozenset[str]] = frozenset()
    grouping: ClassVar[bool] = False

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        """For what outputs do not reproduce: whether what a failed check saw proves the mistake.

        Args:
            check: the calls of the check, and what the learner's code gave.
            right: the program with all the mistakes that are proven already.
        """
        return False

    @staticmethod
    def refuted(check: Check, right: type[Program]) -> bool:
        """Whether a failed check that the mistake does not explain speaks against it."""
        return False


Kind = type[Mistake]
Combination = tuple[Kind, ...]
Found = TypeVar("Found")


def _once(function: Callable[[Kind], Found]) -> Callable[[Kind], Found]:
    """What a function says of a mistake, asked once."""
    known: dict[Kind, Found] = {}

    def found(kind: Kind) -> Found:
        if kind not in known:
            known[kind] = function(kind)
        return known[kind]

    return found


@_once
def original(kind: Kind) -> Kind:
    """The mistake of which this is one way: the nearest class with a docstring."""
    return next(each for each in kind.__mro__ if "__doc__" in vars(each) and vars(each)["__doc__"])


@_once
def name(kind: Kind) -> str:
    """ScaleDModel is scale-d-model: how reports, translations and records call it."""
    return re.sub(r"(?<!^)(?=[A-Z])|(?<=[a-z])(?=\d$)", "-", original(kind).__name__).lower()


def sentence(kind: Kind) -> str:
    """What completes "exactly what you get when ..."."""
    return " ".join((original(kind).__doc__ or "").partition("\n\n")[0].split())


def symptom(kind: Kind) -> str:
    """What the mistake does to the result."""
    return " ".join((original(kind).__doc__ or "").partition("\n\n")[2].split())


def is_style(kind: Kind) -> bool:
    return not kind.see


@_once
def steps(kind: Kind) -> frozenset[str]:
    """The steps that it overrides."""
    own = [each for each in kind.__mro__ if issubclass(each, Mistake) and each is not Mistake]
    found = {name for each in own for name, value in vars(each).items() if isinstance(value, FunctionType)}
    return frozenset(name for name in found if not name.startswith("_"))


@_once
def replaced(kind: Kind) -> frozenset[str]:
    """The steps of which it leaves nothing: it does not call super() in them."""
    own = [vars(each) for each in kind.__mro__ if issubclass(each, Mistake) and each is not Mistake]
    found = {step: [each[step].__code__ for each in own if step in each] for step in steps(kind)}
    return frozenset(step for step, codes in found.items() if any("super" not in code.co_names for code in codes))


def proves(kind: Kind) -> bool:
    """Whether it is proven by what a check saw and not by what a program gives."""
    return kind.shows is not Mistake.shows


def mistakes_in(*modules: ModuleType) -> tuple[Kind, ...]:
    """The mistakes that modules define, in their order; classes without a step and without a proof only group them."""
    found = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    kinds = [each for each in found if issubclass(each, Mistake) and each.__module__ in {m.__name__ for m in modules}]
    grouping = [each for each in kinds if vars(each).get("grouping")]
    return tuple(dict.fromkeys(each for each in kinds if each not in grouping and (steps(each) or proves(each))))


def of_program(program: type[Program], kinds: Iterable[Kind]) -> tuple[Kind, ...]:
    """Those that can be made in a program: it has all the steps that they override or need."""
    return tuple(kind for kind in kinds if all(getattr(program, step, None) for step in (*steps(kind), *kind.needs)))


def compatible(combination: Combination, kind: Kind) -> bool:
    """Whether one more fits: none takes a step away from another, and no mistake is there in two ways."""
    return all(name(kind) != name(each) and _side_by_side(*sorted((each, kind), key=_place)) for each in combination)


def _side_by_side(first: Kind, second: Kind) -> bool:
    """Whether the first leaves the second what it does, and is no kind of it."""
    shared = steps(first) & steps(second)
    return not shared or not (shared & replaced(first) or issubclass(first, second) or issubclass(second, first))


def _place(kind: Kind) -> tuple[bool, str, str]:
    """Where it stands in a combination: what does its own on top of a step comes before what replaces one."""
    return bool(replaced(kind)), kind.__module__, kind.__name__


def added_style(combination: Combination) -> Kind:
    return next(kind for kind in combination if is_style(kind))


def joined(combination: Combination, kind: Kind) -> Combination:
    """One more, in an order that does not depend on how it was found."""
    return tuple(sorted((*combination, kind), key=_place))


def named(combination: Combination) -> frozenset[str]:
    """The names of the mistakes in it; styles have none."""
    return frozenset(map(name, plain(combination)))


def plain(combination: Combination) -> Combination:
    """The mistakes in it, without a style."""
    return tuple(kind for kind in combination if not is_style(kind))


def without(combination: Combination, kind: Kind) -> Combination:
    return tuple(each for each in combination if each is not kind)


_MIXED: dict[tuple[type[Program], Combination], type[Program]] = {}


def mixed(program: type[Program], combination: Combination) -> type[Program]:
    """The program with these mistakes in it."""
    if not combination:
        return program
    key = program, combination
    if key not in _MIXED:
        _MIXED[key] = type(program.__name__, (*combination, program), {})
    return _MIXED[key]


def forget_mixed() -> None:
    """After a diagnosis: classes by the thousand are of no more use."""
    _MIXED.clear()
