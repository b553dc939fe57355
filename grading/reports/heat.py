"""Wanted, got and difference of a failed check as grids of coloured numbers, ready to be drawn."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from grading.records import CheckResult, Map

SHADES = 4
SAME = 1e-9


@dataclass(frozen=True)
class Cell:
    """A number. `shade` names its colour: "p1" to "p4" above zero, "n1" to "n4" below, "d1" to "d4" for
    differences, "odd" for what is no finite number, "" for none."""

    text: str
    shade: str
    value: str


@dataclass(frozen=True)
class Heat:
    """One map: `label` is "wanted", "got" or "difference"; `columns` are the numbers of its columns, `rows` the number
    and the cells of each row."""

    label: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def heats(check: CheckResult) -> tuple[Heat, ...]:
    """The three maps of a check, all with one scale; none where it holds no maps."""
    wanted, got = _floats(check.wanted_map), _floats(check.got_map)
    if not wanted or [len(row) for row in wanted] != [len(row) for row in got]:
        return ()
    # wanted sets the scale: one huge number in got would make everything else look like zero
    scale = _largest(wanted) or _largest(got) or 1.0
    wanted, got = _rounded(wanted, scale), _rounded(got, scale)
    difference = [[_minus(g, w) for g, w in zip(*rows, strict=True)] for rows in zip(got, wanted, strict=True)]
    difference = _rounded(difference, scale)
    most = _largest(difference) or 1.0
    shades = [[_difference_shade(value, most, scale) for value in row] for row in difference]
    return (
        _heat("wanted", wanted, [[_shade(value, scale) for value in row] for row in wanted], check.map_at),
        _heat("got", got, [[_shade(value, scale) for value in row] for row in got], check.map_at),
        _heat("difference", difference, shades, check.map_at),
    )


def _rounded(values: list[list[float]], scale: float) -> list[list[float]]:
    """What is nothing but a rounding error at that scale as the 0 that it stands for."""
    return [[0.0 if abs(value) <= SAME * scale else value for value in row] for row in values]


def _heat(label: str, values: list[list[float]], shades: list[list[str]], at: str) -> Heat:
    starts = [int(start) for start in re.findall(r"(\d+):", at)]
    first_column, first_row = (starts[-1] if starts else 0), (starts[-2] if len(starts) > 1 else None)
    rows = tuple(
        (
            "" if first_row is None else str(first_row + i),
            tuple(Cell(short(value), shades[i][j], f"{value:.10g}") for j, value in enumerate(row)),
        )
        for i, row in enumerate(values)
    )
    return Heat(label, tuple(str(first_column + j) for j in range(len(values[0]))), rows)


def short(value: float) -> str:
    """A number in at most five or six characters."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}".replace("-0", "0")
    if not 0.01 <= abs(value) < 1000:
        return re.sub(r"e([+-])0*", lambda sign: "e" + sign[1].strip("+"), f"{value:.0e}")
    if abs(value) < 1:
        return f"{value:.2f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2g}"


def _shade(value: float, scale: float) -> str:
    if not math.isfinite(value):
        return "odd"
    step = min(SHADES, round(SHADES * abs(value) / scale))
    return f"{'p' if value > 0 else 'n'}{step}" if step else ""


def _difference_shade(value: float, most: float, scale: float) -> str:
    """Every number that is wrong gets a colour, however little it differs."""
    if not math.isfinite(value):
        return "odd"
    return f"d{math.ceil(SHADES * abs(value) / most)}" if abs(value) > SAME * max(1.0, scale) else ""


def _minus(got: float, wanted: float) -> float:
    """got - wanted; 0 for two that are the same infinity or both NaN."""
    return 0.0 if got == wanted or (got != got and wanted != wanted) else got - wanted


def _floats(part: Map) -> list[list[float]]:
    return [[float(cell) for cell in row] for row in part]


def _largest(rows: list[list[float]]) -> float:
    return max((abs(value) for row in rows for value in row if math.isfinite(value)), default=0.0)
