"""The bugs that can be planted in the program of a hunt, as katas/<hunt>/plants.toml has them.

Each has a sentence that says what is wrong, the name of the probe that shows it, and changes: pairs of texts, of which
the first stands in the right program once and is replaced by the second.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from grading.catalog import KataFault, read_toml
from grading.hunts import Hunt

SOUND = "what was right is right"  # the check beside those of the bugs


@dataclass(frozen=True)
class Plant:
    """A bug that can be planted."""

    key: str
    sentence: str
    probe: str
    changes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: str


def plants(hunt: Hunt) -> dict[str, Plant]:
    """All of them by key; KataFault where the file is broken or a text does not stand in the program once."""
    return _read(hunt.folder / "plants.toml", _program(hunt.solution))


@cache
def _program(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise KataFault(path, error) from error


@cache
def _read(path: Path, program: str) -> dict[str, Plant]:
    found = {}
    for key, entry in read_toml(path).items():
        try:
            changes = tuple((str(old), str(new)) for old, new in entry["changes"])
            found[key] = Plant(key, str(entry["sentence"]), str(entry["probe"]), changes)
        except (KeyError, TypeError, ValueError) as error:
            raise KataFault(path, f"{key}: {type(error).__name__}: {error}") from error
        if any(program.count(old) != 1 for old, _ in changes):
            raise KataFault(path, f"{key}: each of its texts has to stand in the program once")
    return found


def planted(hunt: Hunt, keys: Collection[str]) -> str:
    """The program with those bugs in it. KataFault where two of them change the same text."""
    text = _program(hunt.solution)
    edits = sorted((edit for key in keys for edit in _edits(hunt, key)), key=lambda edit: edit.start, reverse=True)
    if _overlap(edits):
        raise KataFault(hunt.folder / "plants.toml", f"{', '.join(sorted(keys))} change the same text")
    for edit in edits:
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def fit(hunt: Hunt, one: str, other: str) -> bool:
    """Whether two bugs can be planted together: they change different texts."""
    return not _overlap([*_edits(hunt, one), *_edits(hunt, other)])


def drawn(hunt: Hunt, chance: random.Random, count: int) -> list[str]:
    """The keys of so many bugs, which fit together."""
    keys: list[str] = []
    for key in chance.sample(sorted(plants(hunt)), len(plants(hunt))):
        if len(keys) < count and all(fit(hunt, key, each) for each in keys):
            keys.append(key)
    return sorted(keys)


def _edits(hunt: Hunt, key: str) -> Iterator[_Edit]:
    for old, new in plants(hunt)[key].changes:
        start = _program(hunt.solution).index(old)
        yield _Edit(start, start + len(old), new)


def _overlap(edits: Sequence[_Edit]) -> bool:
    return any(a is not b and a.start < b.end and b.start < a.end for a in edits for b in edits)
