"""The checks in a grader's file: pytest items that are made and run at a tenth of the cost of its own.

A check is a function `test_...`, or each case of one that is marked with `pytest.mark.parametrize`. What it asks for by
the names of its parameters is the learner's file, random inputs, the values of its case, or what the module calls so.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from grading.catalog import ROOT, Catalog

GIVEN = ("learner", "draw")  # by the examination


@cache
def stem_of(path: Path) -> str | None:
    """The kata that a test file grades, None for other tests."""
    stem = path.stem.removeprefix("test_")
    return stem if path.parent == ROOT / "tests" and stem in Catalog().stems else None


class Check(pytest.Item):
    """A check of a grader.

    Attributes:
        stem: the kata that it belongs to.
        case: what its case is called, empty where the function has none.
        values: the arguments that are known when it is collected.
    """

    def __init__(
        self, *, stem: str, function: Callable[..., None], case: str, values: Mapping[str, Any], **node: Any
    ) -> None:
        super().__init__(**node)
        self.stem = stem
        self.function = function
        self.case = case
        self.values = dict(values)

    @property
    def title(self) -> str:
        """The docstring's first line, and its case."""
        doc = (self.function.__doc__ or self.name).strip().splitlines()[0]
        return f"{doc} [{self.case}]" if self.case else doc

    def run_with(self, **given: Any) -> None:
        """Run it; `given` is what the examination gives to those that ask for it."""
        wanted = self.function.__code__.co_varnames[: self.function.__code__.co_argcount]
        self.function(**self.values, **{name: given[name] for name in GIVEN if name in wanted})

    def runtest(self) -> None:
        """Never: the examination runs it."""
        raise NotImplementedError

    def reportinfo(self) -> tuple[Any, int, str]:
        """Where pytest says that it is."""
        return self.path, self.function.__code__.co_firstlineno - 1, self.name


def checks_of(module: pytest.Module, stem: str, name: str, function: Callable[..., None]) -> Iterator[Check]:
    """The checks of a test function, case by case in pytest's order, under the names that pytest would give them."""
    wanted = [each for each in inspect.signature(function).parameters if each not in GIVEN]
    for case, values in _cases(function):
        missing = [each for each in wanted if each not in values]
        try:
            found = {each: getattr(module.obj, each) for each in missing}
        except AttributeError as error:
            raise module.CollectError(
                f"{name} asks for {error.name}, which neither its cases nor the module have"
            ) from None
        full = f"{name}[{case}]" if case else name
        yield Check.from_parent(module, name=full, stem=stem, function=function, case=case, values=values | found)


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
