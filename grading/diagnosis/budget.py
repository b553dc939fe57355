"""How much a search may do: counted in calls of programs, so that the same answers get the same causes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """How many calls are left."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def spend(self, calls: int) -> bool:
        self.left -= calls
        return self.left >= 0

    @contextmanager
    def no_more_than(self, calls: int) -> Iterator[None]:
        """Only so many of them in here."""
        kept = max(self.left - calls, 0)
        self.left -= kept
        try:
            yield
        finally:
            self.left += kept
