"""The forms of what is remembered about a kata, from and to plain JSON, and how well a pass went."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
PAUSE = 30 * 60.0  # a longer gap between two grades is no work on the kata
AGAIN, HARD, GOOD, EASY = 1, 2, 3, 4  # the grades of fsrs, which is not imported here: a grade may not wait for it
MANY_RUNS, FEW_RUNS = 8, 3
FILE, CELL, INTERVIEW, DRILL = "file", "cell", "interview", "drill"  # where an attempt was made


@dataclass(kw_only=True)
class Work:
    """What it takes to pass. `seconds` is time at work: long gaps between grades count as PAUSE.

    `causes` are the sentences of the mistakes that were named, `explains` how many checks each explained at the last.
    """

    seconds: float = 0.0
    runs: int = 0
    hints: int = 0
    revealed: bool = False
    causes: dict[str, str] = field(default_factory=dict)
    explains: dict[str, int] = field(default_factory=dict)


@dataclass
class Attempt(Work):
    """From a fresh stub to a pass."""

    began: float = 0.0
    last: float = 0.0

    def tick(self, now: float) -> None:
        """Time went on to `now`."""
        self.began = self.began or now
        self.seconds += min(max(now - (self.last or now), 0.0), PAUSE)
        self.last = now


@dataclass
class Record:
    """One kata in one round. Times are seconds since 1970.

    `causes` counts each mistake that was named, `sentences` and `explains` are what it was, and how many checks it
    explained, when it was named last.
    `digest` and `outcome` are of the file as it was last graded, so that grading it again counts once; `cell_digest`
    and `cell_outcome` are of the notebook's cell. `elsewhere` is how many of the attempts were made in a cell, in an
    interview or in a drill, and not in problems/.
    """

    hints: int = 0
    attempts: int = 0
    passes: int = 0
    first_pass: float = 0.0
    best_seconds: float = 0.0
    hints_used: int = 0
    outcome: str = ""
    digest: str = ""
    cell_outcome: str = ""
    cell_digest: str = ""
    elsewhere: dict[str, int] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)
    explains: dict[str, int] = field(default_factory=dict)
    attempt: dict[str, Any] | None = None


@dataclass
class Entry(Work):
    """An attempt that has ended, as the history keeps it: `at` is when, `kind` where it was made.

    One with a `rating` (fsrs's: 1 again to 4 easy) is a review: the schedule of what is due goes by it. `first_run` is
    how many seconds went by before the first grade, where there was a clock. Of `planted` bugs so many were `found`.
    """

    kata: str
    at: float
    kind: str = FILE
    passed: bool = True
    rating: int = 0
    first_run: float = 0.0
    planted: int = 0
    found: int = 0


@dataclass
class Answer:
    """An interview question that was answered: how well, and when fsrs wants it again."""

    at: float
    rating: int
    due: float


@dataclass
class Goal:
    """What a plan is made for: the day of the interview (2026-12-13), and how many minutes a day there are."""

    day: str
    minutes: float


def rate(work: Work, minutes: float) -> int:
    """How well a pass from an empty file went.

    Again where the reference was looked at, hard where it took hints, many runs or twice the kata's minutes, easy
    where it was right within two runs, without a named mistake and in half the minutes.
    """
    limit = minutes * 60.0
    if work.revealed:
        return AGAIN
    if work.hints or work.runs > MANY_RUNS or work.seconds > 2 * limit:
        return HARD
    if work.runs <= 2 and not work.causes and work.seconds <= limit / 2:
        return EASY
    return GOOD


def rate_drill(work: Work) -> int:
    """How well a mistake of somebody else's was mended: never easy, for to mend is less than to write."""
    return GOOD if work.runs <= FEW_RUNS else HARD


def work_of(work: Work) -> dict[str, Any]:
    """What it took, for an entry of the history."""
    values = {each.name: getattr(work, each.name) for each in fields(Work)}
    return values | {"seconds": round(work.seconds, 1)}


def plain(value: object) -> dict[str, Any]:
    """As JSON has it."""
    return asdict(value)  # type: ignore[call-overload,no-any-return]


def form(kind: type[T], data: object) -> T:
    """The data as one of the forms above; ValueError where it is none. What a later version added is dropped."""
    if not isinstance(data, dict):
        raise ValueError(f"{data!r} is no {kind.__name__}")
    known = {each.name: each.type for each in fields(kind)}  # type: ignore[arg-type]
    kept = {name: value for name, value in data.items() if name in known}
    for name, value in kept.items():
        if not _fits(value, str(known[name])):
            raise ValueError(f"{name}: {value!r}")
    try:
        return kind(**kept)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _fits(value: object, kind: str) -> bool:
    if kind.startswith("dict"):
        return isinstance(value, dict) or (value is None and kind.endswith("None"))
    if kind.startswith("list"):
        return isinstance(value, list)
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    return isinstance(value, {"str": (str,), "int": (int,), "float": (int, float)}[kind])


def digest(path: Path) -> str:
    """A short name of what is in the file; empty where it cannot be read."""
    try:
        return digest_of(path.read_bytes())
    except OSError:
        return ""


def digest_of(content: bytes) -> str:
    """A short name of that content."""
    return hashlib.sha256(content).hexdigest()[:16]
