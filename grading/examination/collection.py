"""The checks in the file of a grader, as pytest would collect them.

A check is a function `test_...`, or each case of one that is marked with `pytest.mark.parametrize`. What it asks for by
the names of its parameters is the learner's file, random inputs, the values of its case, or what the module calls so.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from types import FunctionType, ModuleType
from typing import Any

from grading.catalog import Catalog, Kata, KataFault

GIVEN = ("learner", "draw")  # by the examination


@dataclass(frozen=True)
class Check:
    """A check of a grader.

    Attributes:
        stem: the kata that it belongs to.
        case: what its case is called, empty where the function has none.
        values: the arguments that are known when it is collected.
    """

    stem: str
    function: Callable[..., None]
    case: str
    values: Mapping[str, Any]

    @cached_property
    def name(self) -> str:
        """As pytest calls it: test_masks[(L, S)]."""
        return f"{self.function.__name__}[{self.case}]" if self.case else self.function.__name__

    @cached_property
    def title(self) -> str:
        """The docstring's first line, and its case."""
        doc = (self.function.__doc__ or self.name).strip().splitlines()[0]
        return f"{doc} [{self.case}]" if self.case else doc

    def run(self, **given: Any) -> None:
        """Run it; `given` is what the examination gives to those that ask for it."""
        wanted = self.function.__code__.co_varnames[: self.function.__code__.co_argcount]
        self.function(**self.values, **{name: given[name] for name in GIVEN if name in wanted})


@cache
def checks(stem: str) -> tuple[Check, ...]:
    """The checks of a kata in their order; KataFault where its grader cannot be read."""
    kata = Catalog()[stem]
    kata.check()
    module = _loaded(kata)
    functions = [each for name, each in vars(module).items() if name.startswith("test") and type(each) is FunctionType]
    found = tuple(check for function in functions for check in checks_of(kata, module, function))
    if not found:
        raise KataFault(kata.tests, "there is no check in it")
    return found


def _loaded(kata: Kata) -> ModuleType:
    """The module of its grader, which other tests do not see under a name of theirs."""
    name = f"grader of {kata.stem}"
    spec = importlib.util.spec_from_file_location(name, kata.tests)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise KataFault(kata.tests, f"{type(error).__name__}: {error}") from error
    return module


def checks_of(kata: Kata, module: ModuleType, function: Callable[..., None]) -> Iterator[Check]:
    """The checks of a test function, case by case in pytest's order, under the names that pytest would give them."""
    wanted = [each for each in inspect.signature(function).parameters if each not in GIVEN]
    for case, values in _cases(function):
        missing = [each for each in wanted if each not in values]
        if unknown := [each for each in missing if not hasattr(module, each)]:
            what = f"{function.__name__} asks for {', '.join(unknown)}"
            raise KataFault(kata.tests, f"{what}, which neither its cases nor the module have")
        yield Check(kata.stem, function, case, values | {each: getattr(module, each) for each in missing})


def _cases(function: Callable[..., None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The combinations of what its marks list: what each is called, and its values."""
    marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
    for combined in product(*(list(_listed(*mark.args, **mark.kwargs)) for mark in marks)):
        values: dict[str, Any] = {}
        for _, each in combined:
            values |= each
        yield "-".join(case for case, _ in combined), values


def _listed(
    names: str | Sequence[str], values: Sequence[Any], ids: Sequence[str] | Callable[[Any], str] = str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What one mark lists; a function makes the id of each value, a list has those of the cases."""
    several = [names] if isinstance(names, str) else names
    rows = [(value,) if isinstance(names, str) else value for value in values]
    called = ["-".join(map(ids, row)) for row in rows] if callable(ids) else list(ids)
    for case, row in zip(called, rows, strict=True):
        yield case, dict(zip(several, row, strict=True))
