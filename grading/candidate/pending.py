"""Answers that are on their way: a test goes on with its next question while the learner's code works on this one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

Rest = ParamSpec("Rest")


class Pending:
    """A value that may not be there yet. What is to be done with it is done when it comes, in the order of asking.

    Args:
        settle: waits until all answers are there.
    """

    def __init__(self, settle: Callable[[], None]) -> None:
        self._settle = settle
        self._there = False
        self._value: Any = None
        self._checks: list[Callable[[Any], None]] = []

    def wait(self) -> Any:
        """The value, once it is there."""
        self._settle()
        return self._value

    def then(self, check: Callable[[Any], None]) -> None:
        """Call check(value) when the value is there, which may be now."""
        if self._there:
            check(self._value)
        else:
            self._checks.append(check)

    def arrive(self, value: Any) -> None:
        """It is there."""
        self._there, self._value = True, value
        for check in self._checks:
            check(value)

    def reading(self, read: Callable[[Any], Any]) -> Pending:
        """The answer read(value)."""
        part = Pending(self._settle)
        self.then(lambda value: part.arrive(read(value)))
        return part


def on_arrival(check: Callable[Concatenate[Any, Rest], None]) -> Callable[Concatenate[Any, Rest], None]:
    """A check whose first argument may be a Pending: it is then made when the value is there."""

    @functools.wraps(check)
    def when_it_arrives(got: Any, *rest: Rest.args, **options: Rest.kwargs) -> None:
        if isinstance(got, Pending):
            got.then(lambda value: check(value, *rest, **options))
        else:
            check(got, *rest, **options)

    return when_it_arrives  # type: ignore[return-value]  # wraps is typed for a first parameter that has a name
