"""The interview questions: of a kata, of a topic, or all of them, in the reader's language.

Those of a kata are in katas/<kata>/questions.toml; those that belong to no single kata are in
katas/questions/<topic>.toml, where the file's name is the topic. A question without a translation stays English, and so
does each of its texts. A kata without a file has no questions.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from grading.catalog import ROOT, Catalog, Kata, KataFault, read_toml
from grading.hunts import hunts
from grading.texts import tables

FOLDER = ROOT / "katas"
TOPICS = ("attention", "masks", "heads", "positions", "caches", "kernels", "serving", "numerics", "training")
LEVELS = ("easy", "medium", "hard")
TEXTS = ("question", "say", "measured", "follow_up", "red_flag")


@dataclass(frozen=True)
class Question:
    """A question, what to say in thirty seconds, and what an interviewer makes of it. The key never changes."""

    key: str
    question: str
    say: str
    topic: str  # one of TOPICS
    level: str  # one of LEVELS
    follow_up: str  # what is asked next
    red_flag: str  # what costs the offer
    measured: str = ""  # the number or the derivation behind what is said
    katas: tuple[str, ...] = ()  # further katas that it is asked about

    def __post_init__(self) -> None:
        if self.topic not in TOPICS or self.level not in LEVELS:
            raise TypeError(f"{self.key}: there is no topic {self.topic!r} or no level {self.level!r}")


def questions(kata: Kata) -> list[Question]:
    """Those of its own file, in its order, then those of other katas that name it."""
    files = sorted(FOLDER.glob("*/questions.toml"))
    elsewhere = [each for path in files if path.parent.name != kata.stem for each in _read(path)]
    return [*_read(FOLDER / kata.stem / "questions.toml"), *(each for each in elsewhere if kata.stem in each.katas)]


def every() -> list[Question]:
    """All that there are: those of the katas in order, of hunts, then those that belong to neither."""
    files = [FOLDER / kata.stem / "questions.toml" for kata in (*Catalog().katas, *hunts())]
    return [each for path in (*files, *sorted((FOLDER / "questions").glob("*.toml"))) for each in _read(path)]


def on(topic: str) -> list[Question]:
    """Those on a topic, whichever file they are in: the easy ones first."""
    return sorted((each for each in every() if each.topic == topic), key=lambda each: LEVELS.index(each.level))


def translated(question: Question, language: str) -> Question:
    """The question in another language, as far as there is a translation."""
    own = tables(language).get("questions", {}).get(question.key, {})
    return replace(question, **{name: own[name] for name in TEXTS if own.get(name)})


@cache
def _read(path: Path) -> tuple[Question, ...]:
    """None, and a line that says why, where the file is broken: the questions of other katas are asked all the same."""
    try:
        return read(path)
    except KataFault as fault:
        print(f"grader: {fault}", file=sys.stderr)
        return ()


def read(path: Path) -> tuple[Question, ...]:
    """The questions of a file, none where there is no file; KataFault where it is broken."""
    entries = read_toml(path).get("question", []) if path.is_file() else []
    topic = {} if path.name == "questions.toml" else {"topic": path.stem}
    try:
        return tuple(Question(**{**topic, **entry, "katas": tuple(entry.get("katas", ()))}) for entry in entries)
    except TypeError as error:
        raise KataFault(path, error) from error
