"""The candidate's own clock: what takes too long is interrupted where it is, so that the loop it is in can be named.

The examiner's clock, which nothing in here can stop, decides where this one is caught, or cannot reach in.
"""

from __future__ import annotations

import ast
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

EARLIER = 0.9  # of the examiner's time: the answer still has to arrive


class OutOfTime(BaseException):
    """The time of a call is over."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """OutOfTime in here at that time; nothing where no time is given, and on Windows, which has no such alarm."""
    if not seconds or not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, EARLIER * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _ring(*_: Any) -> None:
    raise OutOfTime


def loop_around(tree: ast.Module, line: int) -> int:
    """The line at which the innermost loop around that line begins, 0 where it is in none."""
    loops = (node for node in ast.walk(tree) if isinstance(node, ast.For | ast.While))
    return max((loop.lineno for loop in loops if loop.lineno <= line <= (loop.end_lineno or 0)), default=0)
