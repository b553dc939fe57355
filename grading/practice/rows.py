"""From the journal of a cohort to the rows of its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grading.catalog import Catalog, Kata
from grading.records import Cause, CheckResult, KataResult, Outcome
from grading.stubs import stub

if TYPE_CHECKING:
    from grading.practice.journal import Journal
    from grading.reports.cohort import Row


@dataclass(frozen=True)
class Entrant:
    """One submission without its bytes: the key of each file, what was refused, why nothing could be read."""

    name: str
    keys: dict[str, str]
    refused: dict[str, str]
    fault: str


def rows(entrants: Sequence[Entrant], journal: Journal) -> Iterator[Row]:
    """The table, in order of names; a file's grade is read from the journal when its row comes."""
    from grading.practice.alike import groups, shape
    from grading.reports.cohort import Row

    shapes = {key: journal[key]["shape"] for entrant in entrants for key in entrant.keys.values() if key in journal}
    written = [(kata, shapes.get(key, ""), entrant.name) for entrant in entrants for kata, key in entrant.keys.items()]
    given = [(kata.stem, shape(kata.solution.read_bytes()), "the reference") for kata in Catalog().katas]
    stubs = {(kata.stem, shape(stub(kata).encode())) for kata in Catalog().katas}
    shared = {key: names for key, names in groups([*written, *given]).items() if key not in stubs}
    for entrant in entrants:
        results = tuple(_result(kata, entrant, journal) for kata in Catalog().katas)
        alike = [
            f"{kata}: {', '.join(name for name in shared[kata, shapes[key]] if name != entrant.name)}"
            for kata, key in entrant.keys.items()
            if (kata, shapes.get(key, "")) in shared
        ]
        yield Row(entrant.name, results, entrant.fault, tuple(alike))


def _result(kata: Kata, entrant: Entrant, journal: Journal) -> KataResult | None:
    """Of one kata; None where the grader failed."""
    message = entrant.fault or entrant.refused.get(kata.stem, "")
    key = entrant.keys.get(kata.stem)
    if message or key is None:
        outcome: Outcome = "broken" if message else "not started"
        return KataResult(kata.stem, kata.title, f"problems/{kata.stem}.py", outcome, 0, kata.checks, message=message)
    if key not in journal:
        return None
    found = journal[key]["result"]
    found["causes"] = tuple(Cause(**cause) for cause in found["causes"])
    found["checks"] = tuple(CheckResult(**check) for check in found["checks"])
    return KataResult(**found)
