"""A cohort's tables: results.csv and results.jsonl with one row a submission, and overview.html."""

from __future__ import annotations

import csv
import html
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from grading.catalog import Catalog
from grading.records import KataResult
from grading.reports.score import points
from grading.reports.terminal import clean

STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .7em;text-align:left;border-bottom:1px solid #ddd}
td.n{text-align:right}.passed{color:#176f2c}.failed,.broken{color:#a31515}.bar{background:#4a78b5;height:.8em}
@media(prefers-color-scheme:dark){body{background:#1b1b1b;color:#ddd}.passed{color:#6c6}.failed,.broken{color:#f88}}"""


@dataclass(frozen=True)
class Row:
    """A submission: its katas in order (None where the grader failed), why it could not be read, whose it is like."""

    name: str
    results: tuple[KataResult | None, ...]
    fault: str = ""
    alike: tuple[str, ...] = ()

    @property
    def points(self) -> dict[str, float]:
        """By track."""
        found = dict.fromkeys(Catalog().tracks, 0.0)
        for result in self.results:
            if result:
                found[Catalog()[result.kata].track] += points(result)
        return {track: round(total, 2) for track, total in found.items()}


def write(folder: Path, rows: Iterable[Row]) -> None:
    """All three in one pass, so that one row is in memory at a time; a table is complete or as it was before."""
    body, mistakes, outcomes = io.StringIO(), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    count = 0
    with ExitStack() as stack:
        table = csv.writer(stack.enter_context(_replacing(folder / "results.csv")), lineterminator="\n")
        lines = stack.enter_context(_replacing(folder / "results.jsonl"))
        table.writerow(["submission", *_point_heads(), "passed", *Catalog().stems, "causes", "alike", "note"])
        for row in rows:
            count += 1
            table.writerow([_cell(value) for value in _values(row)])
            lines.write(json.dumps(_record(row)) + "\n")
            body.write(_html_row(row))
            for stem, result in zip(Catalog().stems, row.results, strict=True):
                outcomes[stem, result.outcome if result else "not graded"] += 1
                mistakes.update((stem, cause.name) for cause in (result.causes if result else ()))
    with _replacing(folder / "overview.html") as page:
        page.write(_page(count, body.getvalue(), mistakes, outcomes))


def _point_heads() -> list[str]:
    return [f"{track} points" for track in Catalog().tracks]


def _values(row: Row) -> list[str]:
    passed = sum(result is not None and result.outcome == "passed" for result in row.results)
    causes = [f"{result.kata}: {cause.name}" for result in row.results if result for cause in result.causes]
    states = [_state(result) for result in row.results]
    return [
        row.name,
        *(f"{each:g}" for each in row.points.values()),
        str(passed),
        *states,
        "; ".join(causes),
        "; ".join(row.alike),
        row.fault,
    ]


def _state(result: KataResult | None) -> str:
    if result is None:
        return "not graded"
    return f"failed {result.passed}/{result.expected}" if result.outcome == "failed" else result.outcome


def _cell(value: str) -> str:
    """A spreadsheet takes a cell that begins like this for a formula."""
    value = clean(value)
    return f"'{value}" if value[:1] in ("=", "+", "-", "@") else value


def _record(row: Row) -> dict[str, object]:
    results = {stem: asdict(each) if each else None for stem, each in zip(Catalog().stems, row.results, strict=True)}
    return {
        "submission": clean(row.name),
        "points": row.points,
        "note": row.fault,
        "alike": row.alike,
        "katas": results,
    }


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    draft = path.with_name(f".{path.name}")
    with draft.open("w", encoding="utf-8", errors="replace", newline="") as file:
        yield file
    draft.replace(path)


# ---------------------------------------------------------------------------------------------- overview.html


def _page(count: int, body: str, mistakes: Counter[tuple[str, str]], outcomes: Counter[tuple[str, str]]) -> str:
    heads = "".join(f"<th>{name}" for name in ("submission", *_point_heads(), *Catalog().stems, "alike"))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Cohort</title><style>{STYLE}</style>'
        f"<h1>{count} submissions</h1>{_outcomes(outcomes)}<h2>Mistakes</h2>{_mistakes(mistakes)}"
        f"<h2>Submissions</h2><table><tr>{heads}</tr>\n{body}</table></html>\n"
    )


def _outcomes(outcomes: Counter[tuple[str, str]]) -> str:
    names = ("passed", "failed", "broken", "not started", "not graded")
    head = "".join(f"<th>{name}" for name in ("kata", *names))
    rows = [
        f"<tr><td>{stem}" + "".join(f'<td class="n">{outcomes[stem, name]}' for name in names)
        for stem in Catalog().stems
    ]
    return f"<table><tr>{head}\n" + "\n".join(rows) + "</table>"


def _mistakes(mistakes: Counter[tuple[str, str]]) -> str:
    """How often each proven cause came up, the most frequent first."""
    ranked = sorted(mistakes.items(), key=lambda item: (-item[1], item[0]))
    most = max([count for _, count in ranked], default=1)
    rows = [
        f'<tr><td>{stem}<td>{html.escape(name)}<td class="n">{count}'
        f'<td><div class="bar" style="width:{round(200 * count / most)}px"></div>'
        for (stem, name), count in ranked
    ]
    return "<table><tr><th>kata<th>mistake<th>submissions<th>\n" + "\n".join(rows) + "</table>"


def _html_row(row: Row) -> str:
    cells = "".join(_html_cell(result) for result in row.results)
    name = html.escape(clean(row.name)) + (f"<br><small>{html.escape(clean(row.fault))}</small>" if row.fault else "")
    points = "".join(f'<td class="n">{each:g}' for each in row.points.values())
    return f"<tr><td>{name}{points}{cells}<td>{_joined(row.alike)}\n"


def _html_cell(result: KataResult | None) -> str:
    """The state; what is wrong shows when the pointer rests on it."""
    if result is None:
        return "<td>not graded"
    first = result.first_failure
    words = [cause.name for cause in result.causes] or [first.title if first else result.message]
    title = f' title="{_joined(words)}"' if result.outcome in ("failed", "broken") else ""
    return f'<td class="{result.outcome.replace(" ", "-")}"{title}>{_state(result)}'


def _joined(words: Sequence[str]) -> str:
    return html.escape(clean("; ".join(words)))
