"""Small parts of two tensors, for reports that draw them: the numbers around the worst difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

from torch import Tensor

from grading.records import Map

SIDE = 12


class Maps(TypedDict, total=False):
    """The fields of a Failure that hold the parts."""

    wanted_map: Map
    got_map: Map
    map_at: str


def maps(got: Tensor, wanted: Tensor, place: Sequence[int]) -> Maps:
    """The window of the last two axes around `place` in both: at most 12 x 12. Nothing for a single number."""
    if not place:
        return {}
    fixed, inner = [*place[:-2]], [*place[-2:]]
    windows = [_window(at, size) for at, size in zip(inner, wanted.shape[-len(inner) :], strict=True)]
    index: tuple[int | slice, ...] = (*fixed, *windows)
    shown = [str(at) for at in fixed] + [f"{window.start}:{window.stop}" for window in windows]
    return {"wanted_map": _rows(wanted[index]), "got_map": _rows(got[index]), "map_at": f"[{', '.join(shown)}]"}


def _window(at: int, size: int) -> slice:
    """At most SIDE positions of an axis, with `at` in the middle where there is room."""
    start = max(0, min(at - SIDE // 2, size - SIDE))
    return slice(start, min(start + SIDE, size))


def _rows(part: Tensor) -> Map:
    rows = part.double().reshape(-1, part.shape[-1]).tolist()
    return tuple(tuple(value if math.isfinite(value) else str(value) for value in row) for row in rows)
