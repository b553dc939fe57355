"""A file to work in beside problems/, in .kata/, and what is known of the work: for interviews and drills."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from grading.catalog import ROOT, Catalog, Kata
from grading.practice.progress.state import form
from grading.records import Report

CARD = 15  # columns of the labels of a card


@dataclass
class Work:
    """Times are seconds since 1970, 0 for what has not happened.

    `given` is the text as it was at the start, `source` the name of the file that a drill's text comes from.
    """

    stem: str
    began: float
    minutes: float = 0.0
    given: str = ""
    mistake: str = ""
    source: str = ""
    runs: int = 0
    first_run: float = 0.0
    green: float = 0.0
    causes: dict[str, str] = field(default_factory=dict)
    explains: dict[str, int] = field(default_factory=dict)

    @property
    def kata(self) -> Kata:
        return Catalog()[self.stem]

    def ran(self, report: Report, now: float) -> None:
        """A grade of the file."""
        result = report.katas[0]
        self.runs += 1
        self.first_run = self.first_run or now
        self.causes |= {cause.name: cause.sentence for cause in result.causes}
        self.explains |= {cause.name: len(cause.explains) for cause in result.causes}
        if result.outcome == "passed":
            self.green = self.green or now


class Workspace:
    """One kind of work: its folder, and the work under way."""

    def __init__(self, kind: str, home: Path = ROOT / ".kata") -> None:
        self.folder = home / kind
        self._notes = home / f"{kind}.json"

    def file(self, stem: str) -> Path:
        return self.folder / f"{stem}.py"

    def begin(self, work: Work) -> None:
        """Put the given text into its file; an earlier file of that kata is kept with the suffix .old."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.file(work.stem)
        if file.is_file():
            file.replace(file.with_suffix(".old"))
        file.write_text(work.given, encoding="utf-8", newline="\n")
        self.note(work)

    def note(self, work: Work) -> None:
        """Remember it, as a whole or not at all."""
        beside = self._notes.with_suffix(".new")
        beside.write_text(json.dumps(asdict(work)), encoding="utf-8")
        os.replace(beside, self._notes)

    def under_way(self) -> Work | None:
        """The work that was begun and not finished; None where there is none, or its notes are damaged."""
        try:
            work = form(Work, json.loads(self._notes.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None
        return work if work.stem in Catalog().stems else None

    def end(self) -> None:
        """It is finished; the file stays."""
        self._notes.unlink(missing_ok=True)
