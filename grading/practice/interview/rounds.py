"""A whole interview round: its parts, how long each is, and what is kept of it in .kata/round.json."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grading.catalog import ROOT, Catalog, Kata
from grading.practice.interview import drill
from grading.practice.interview.choice import followers, interviewed
from grading.practice.interview.recall import drawn
from grading.practice.interview.workspace import Work, Workspace
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import DRILL, INTERVIEW, form, plain
from grading.stubs import stub

EXPLAIN, WRITE, EXTEND, DEBUG = "explain", "write", "extend", "debug"  # the parts, in this order
ROUNDS: Mapping[int, Mapping[str, float]] = {
    30: {EXPLAIN: 5, WRITE: 15, DEBUG: 10},
    45: {EXPLAIN: 5, WRITE: 18, EXTEND: 14, DEBUG: 8},
    60: {EXPLAIN: 6, WRITE: 23, EXTEND: 20, DEBUG: 11},
}
QUESTIONS = 3  # that are to be explained
ROOM = 1.5  # a kata may be meant to take so much longer than its part

# What is put before the reader to debug, about a kata: a file in which something is wrong, or None where there is none.
BROKEN: Callable[[Kata, random.Random], Work | None] = drill.broken


@dataclass
class Part:
    """A part of a round. Times are seconds since 1970, 0 for what has not happened.

    `asked` are the keys of questions, `ratings` how they were answered; `work` is the file that is written or mended.
    """

    kind: str
    minutes: float
    began: float = 0.0
    ended: float = 0.0
    asked: list[str] = field(default_factory=list)
    ratings: dict[str, int] = field(default_factory=dict)
    work: dict[str, Any] | None = None

    @property
    def history_kind(self) -> str:
        """Where its work belongs in the history."""
        return DRILL if self.kind == DEBUG else INTERVIEW


@dataclass
class Round:
    """A round: `parts` are Parts as plain data, of which the one with the number `at` is under way."""

    stem: str
    minutes: float
    began: float
    parts: list[dict[str, Any]]
    at: int = 0

    @property
    def kata(self) -> Kata:
        return Catalog()[self.stem]

    @property
    def part(self) -> Part | None:
        """The part under way; None where all are over."""
        return form(Part, self.parts[self.at]) if self.at < len(self.parts) else None

    def all_parts(self) -> list[Part]:
        return [form(Part, each) for each in self.parts]

    def keep(self, part: Part) -> None:
        """What is known of the part under way."""
        self.parts[self.at] = plain(part)


class RoundSpace(Workspace):
    """The files of a round, in .kata/round/, and in debug/ there; its notes are the whole round."""

    def __init__(self, home: Path = ROOT / ".kata") -> None:
        super().__init__("round", home)
        self.written = self.folder

    def turn_to(self, part: Part) -> None:
        """What is to be debugged does not go over what was written."""
        self.folder = self.written / "debug" if part.kind == DEBUG else self.written

    def round(self) -> Round | None:
        """The round under way; None where there is none, or its notes are damaged."""
        try:
            found = form(Round, json.loads(self.notes.read_text(encoding="utf-8")))
            known = [form(Work, part.work).stem for part in found.all_parts() if part.work]
        except (OSError, ValueError):
            return None
        return found if {found.stem, *known} <= set(Catalog().stems) else None

    def save(self, round: Round) -> None:
        self.write(plain(round))

    def note(self, work: Work) -> None:
        """What is known of the work of the part under way."""
        round = self.round()
        if round and (part := round.part):
            part.work = plain(work)
            round.keep(part)
            self.save(round)

    def over(self) -> None:
        """There is no round under way any more; the files stay."""
        self.notes.unlink(missing_ok=True)


def make(kata: Kata | None, minutes: int, progress: Progress, chance: random.Random, now: float) -> Round:
    """A round about a kata, or about one that is drawn. A part for which there is nothing is left out."""
    plan = ROUNDS[minutes]
    first = kata or interviewed(progress, chance, at_most=ROOM * plan[WRITE], follow=EXTEND in plan)
    after = followers(first, progress, chance)
    wrong = BROKEN(first, chance)
    parts = []
    for kind, length in plan.items():
        part = Part(kind, float(length))
        if kind == EXPLAIN:
            part.asked = [each.key for each in drawn(first, progress.answers(), now, QUESTIONS)]
        elif kind == DEBUG:
            part.work = plain(wrong) if wrong else None
        else:
            chosen = first if kind == WRITE else after
            part.work = plain(Work(chosen.stem, 0.0, length, stub(chosen, steps=False))) if chosen else None
        if part.asked or part.work:
            parts.append(plain(part))
    return Round(first.stem, float(minutes), now, parts)
