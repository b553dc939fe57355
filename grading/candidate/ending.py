"""Ending a process, without waiting for it or with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Begun = TypeVar("Begun")


class Ending(Generic[Begun]):
    """Ends a process, once: `begin` without waiting for it, a call waits and gives the exit code."""

    def __init__(self, begin: Callable[[], Begun], finish: Callable[[Begun], int]) -> None:
        self._begin = begin
        self._finish = finish
        self._begun: list[Begun] = []
        self._code: int | None = None

    def begin(self) -> None:
        if not self._begun:
            self._begun.append(self._begin())

    def __call__(self) -> int:
        self.begin()
        if self._code is None:
            self._code = self._finish(self._begun[0])
        return self._code
