"""A file to work in beside problems/, in .kata/, and what is known of the work, in interviews, drills and hunts."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from grading.catalog import ROOT, Kata
from grading.examination.plants import SOUND
from grading.hunts import Hunt, by_stem
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import AGAIN, DRILL, INTERVIEW, Entry, form, rate, rate_drill
from grading.records import Report
from grading.stubs import is_untouched, stub

CARD = 15  # columns of the labels of a card


@dataclass
class Work:
    """Times are seconds since 1970, 0 for what has not happened.

    `given` is the text as it was at the start, `source` the name of the file that a drill's text comes from, or the
    bugs that are planted in it. In the last run `passed` of the `expected` checks passed, or bugs were found: `found`
    are these, with SOUND where all else is right. `missed` are the rules that failed in the first run with checks.
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
    passed: int = 0
    expected: int = 0
    found: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    causes: dict[str, str] = field(default_factory=dict)
    explains: dict[str, int] = field(default_factory=dict)

    @property
    def kata(self) -> Kata:
        return by_stem()[self.stem]

    @property
    def hunt(self) -> Hunt | None:
        """What is hunted, its second part where nothing is planted; None where it is about a kata."""
        kata = self.kata
        return (kata if self.source else kata.second) if isinstance(kata, Hunt) else None

    @property
    def planted(self) -> list[str]:
        """The bugs that are to be found."""
        return self.source.split() if self.hunt else []

    def ran(self, report: Report, now: float) -> None:
        """A grade of the file."""
        result = report.katas[0]
        self.runs += 1
        self.stands(report)
        self.missed = self.missed or list(dict.fromkeys(check.title.partition(" [")[0] for check in result.wrong))
        self.first_run = self.first_run or now
        self.causes |= {cause.name: cause.sentence for cause in result.causes}
        self.explains |= {cause.name: len(cause.explains) for cause in result.causes}
        if result.outcome == "passed":
            self.green = self.green or now

    def stands(self, report: Report) -> None:
        """What that grade says of the file as it is."""
        result = report.katas[0]
        self.passed, self.expected = result.passed, result.expected or self.expected
        names = [check.name for check in result.checks if check.outcome == "passed"]
        self.found = [name for name in names if name in (*self.planted, SOUND)]

    def entry(self, kind: str, ended: float) -> Entry:
        """What it comes to in the history. An interview that did not pass is to be done again."""
        seconds = round((self.green or ended) - self.began, 1)
        first = round(self.first_run - self.began, 1) if self.first_run else 0.0
        work = {"seconds": seconds, "runs": self.runs, "causes": self.causes, "explains": self.explains}
        work |= {"planted": len(self.planted), "found": sum(key in self.found for key in self.planted)}
        entry = Entry(self.stem, ended, kind, passed=bool(self.green), first_run=first, **work)  # type: ignore[arg-type]
        if entry.passed:
            entry.rating = rate_drill(entry) if kind == DRILL else rate(entry, self.kata.minutes)
        elif kind == INTERVIEW and self.runs:
            entry.rating = AGAIN
        return entry


def written(kata: Kata) -> Path:
    """Where the learner's answer is: in problems/, or where nothing was written there, in the last interview's file."""
    here = ROOT / "problems" / f"{kata.stem}.py"
    if here.is_file() and not is_untouched(here.read_bytes(), stub(kata)):
        return here
    there = [Workspace(kind).file(kata.stem) for kind in (INTERVIEW, "round")]
    return max((file for file in there if file.is_file()), key=lambda file: file.stat().st_mtime, default=here)


class Workspace:
    """One kind of work: its folder, and the work under way."""

    def __init__(self, kind: str, home: Path = ROOT / ".kata") -> None:
        self.folder = home / kind
        self.notes = home / f"{kind}.json"

    def file(self, stem: str) -> Path:
        return self.folder / by_stem()[stem].file

    def begin(self, work: Work) -> None:
        """Put the given text into its file, and remember that it is under way."""
        self.put(work)
        self.note(work)

    def put(self, work: Work) -> None:
        """Put the given text into its file; an earlier file of that kata is kept with the suffix .old."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.file(work.stem)
        if file.is_file():
            file.replace(file.with_suffix(".old"))
        file.write_text(work.given, encoding="utf-8", newline="\n")

    def note(self, work: Work) -> None:
        """Remember it."""
        self.write(asdict(work))

    def write(self, notes: dict[str, Any]) -> None:
        """The notes, as a whole or not at all."""
        self.notes.parent.mkdir(parents=True, exist_ok=True)
        beside = self.notes.with_suffix(".new")
        beside.write_text(json.dumps(notes), encoding="utf-8")
        os.replace(beside, self.notes)

    def under_way(self) -> Work | None:
        """The work that was begun and not finished; None where there is none, or its notes are damaged."""
        try:
            work = form(Work, json.loads(self.notes.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None
        return work if work.stem in by_stem() else None

    def end(self, entry: Entry | None) -> None:
        """It is over, and what it came to is in the history; the file stays."""
        self.notes.unlink(missing_ok=True)
        if entry:
            Progress().ended(entry)
