"""A whole interview round: its parts, how long each is, and what is kept of it in .kata/round.json."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grading.catalog import ROOT, Catalog, Kata, KataFault
from grading.hunts import by_stem, hunts
from grading.practice.interview import bugs
from grading.practice.interview.choice import followers, interviewed
from grading.practice.interview.recall import drawn
from grading.practice.interview.workspace import Work, Workspace
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import DRILL, INTERVIEW, form, plain
from grading.stubs import stub

EXPLAIN, WRITE, EXTEND, DEBUG = "explain", "write", "extend", "debug"  # the parts, in this order
ROUNDS: Mapping[int, Mapping[str, float]] = {
    30: {EXPLAIN: 5, WRITE: 15, DEBUG: 10},
    45: {EXPLAIN: 5, WRITE: 17, EXTEND: 12, DEBUG: 11},
    60: {EXPLAIN: 5, WRITE: 22, EXTEND: 16, DEBUG: 17},
}
QUESTIONS = 3  # that are to be explained
ROOM = 1.5  # a kata, or as many bugs, may be meant to take so much longer than its part
VERSION = 2  # of the notes of a round


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
    version: int = 1

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
    """The files of a round, in .kata/round/; its notes are the whole round."""

    def __init__(self, home: Path = ROOT / ".kata") -> None:
        super().__init__("round", home)

    def round(self) -> Round | None:
        """The round under way; None where there is none, or its notes are damaged."""
        try:
            found = form(Round, json.loads(self.notes.read_text(encoding="utf-8")))
            known = {form(Work, part.work).stem for part in found.all_parts() if part.work}
        except (OSError, ValueError):
            return None
        if found.stem not in Catalog().stems or not known <= by_stem().keys():
            return None
        return found if found.version == VERSION else self._without_drill(found)

    def _without_drill(self, round: Round) -> Round:
        """In version 1 a drill was to be debugged. What was done in it goes to the history; the other parts stay."""
        for part in round.all_parts():
            if part.kind == DEBUG and part.work and part.began and not part.ended:
                Progress(self.notes.parent).ended(form(Work, part.work).entry(DRILL, time.time()))
        round.parts = [each for each in round.parts if each["kind"] != DEBUG]
        round.at, round.version = min(round.at, len(round.parts)), VERSION
        self.save(round)
        return round

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
    parts = []
    for kind, length in plan.items():
        part = Part(kind, float(length))
        if kind == EXPLAIN:
            part.asked = [each.key for each in drawn(first, progress.answers(), now, QUESTIONS)]
        elif kind == DEBUG:
            part.work = _debugged(length, chance)
        else:
            chosen = first if kind == WRITE else after
            part.work = plain(Work(chosen.stem, 0.0, length, stub(chosen, steps=False))) if chosen else None
        if part.asked or part.work:
            parts.append(plain(part))
    return Round(first.stem, float(minutes), now, parts, version=VERSION)


def _debugged(minutes: float, chance: random.Random) -> dict[str, Any] | None:
    """A program with as many bugs in it as there is time for; None where there is none that can be read."""
    for hunt in chance.sample(hunts(), len(hunts())):
        try:
            hunt.check()
            count = round(ROOM * minutes * hunt.planted / hunt.minutes)
            return plain(bugs.given(hunt, min(max(count, 1), hunt.planted), minutes, chance))
        except KataFault as fault:
            print(f"grader: {fault}", file=sys.stderr)
    return None
