"""The file of the learner's progress, .kata/progress.json: written whole or not at all, versioned, never lost."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grading.catalog import ROOT
from grading.practice.progress.lock import locked
from grading.practice.progress.state import CELL, Answer, Attempt, Entry, Goal, Record, form

VERSION = 4


class Store:
    """A small JSON file."""

    def __init__(self, folder: Path = ROOT / ".kata") -> None:
        self.folder = folder
        self.file = folder / "progress.json"

    def read(self) -> dict[str, Any]:
        """All of it, in today's form. A damaged file is set aside, with a message."""
        try:
            return _checked(_migrated(json.loads(self.file.read_text(encoding="utf-8"))))
        except FileNotFoundError:
            return _checked(_empty())
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self._set_aside()
            return _checked(_empty())

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """All of it, to be changed and then written; another process that changes it waits until that is done."""
        with locked(self.file.with_suffix(".lock")):
            data = self.read()
            before = json.dumps(data)
            yield data
            if json.dumps(data) != before:
                self.write(data)

    def _set_aside(self) -> None:
        """Not lost: it goes beside the new one, and never over one that was set aside earlier."""
        target, number = self.file.with_suffix(".damaged"), 1
        while target.exists():
            number += 1
            target = self.file.with_suffix(f".damaged-{number}")
        try:
            self.file.replace(target)
        except OSError as error:
            print(f"grader: {self.file.name} cannot be read: {error}", file=sys.stderr)
            return
        print(f"grader: {self.file.name} cannot be read and was set aside as {target.name}", file=sys.stderr)

    def write(self, data: dict[str, Any]) -> None:
        """Replace it as a whole. A full disk or a read-only one is said, and spoils nothing else."""
        try:
            self._write(data)
        except OSError as error:
            print(f"grader: the progress could not be written: {error}", file=sys.stderr)

    def _write(self, data: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self.folder, prefix="progress-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(data, file, indent=1)
            os.replace(name, self.file)
        except OSError:
            os.unlink(name)
            raise


def _empty() -> dict[str, Any]:
    return {"version": VERSION, "katas": {}, "history": [], "answers": {}, "goal": None, "rounds": []}


def _migrated(data: Any) -> dict[str, Any]:
    """A file of an earlier version in today's form, a version at a time."""
    if not isinstance(data, dict):
        raise ValueError("no object")
    found: dict[str, Any] = data
    for version, step in ((1, _from_1), (2, _from_2), (3, _from_3)):
        if found.get("version") == version:
            found = step(found)
    return found


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew only how far the hints went."""
    if not isinstance(hints := data.get("hints"), dict):
        raise ValueError("no hints")
    levels = {stem: level for stem, level in hints.items() if isinstance(level, int)}
    katas = {stem: {"hints": level, "hints_used": level} for stem, level in levels.items()}
    return {"version": 2, "katas": katas, "reviews": {}, "rounds": []}


def _from_2(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 called the attempt under way `go`."""
    for entry in _records(data):
        entry["attempt"] = entry.pop("go", None)
    return data | {"version": 3}


def _from_3(data: dict[str, Any]) -> dict[str, Any]:
    """Version 3 kept of the past only the passes in problems/ and in cells, as reviews, by kata."""
    for entry in _records(data):
        if cells := entry.pop("cells", 0):
            entry["elsewhere"] = {CELL: cells}
    reviews, history = data.pop("reviews", None), []
    if not isinstance(reviews, dict):
        raise ValueError("reviews")
    for stem, passes in reviews.items():
        for each in passes:
            kind = {"kind": CELL} if each.pop("cell", False) else {}
            history.append({"kata": stem, **each, **kind})
    history.sort(key=lambda entry: float(entry["at"]))
    return _empty() | data | {"version": VERSION, "history": history}


def _records(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What is known of each kata, in this round and in those before."""
    rounds = data.get("rounds")
    for each in [data, *(rounds if isinstance(rounds, list) else [])]:
        entries = each.get("katas") if isinstance(each, dict) else None
        yield from (entry for entry in (entries.values() if isinstance(entries, dict) else []) if _is_object(entry))


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _checked(data: dict[str, Any]) -> dict[str, Any]:
    """The data, if all that is read from it later has its form; ValueError otherwise."""
    if data.get("version") != VERSION:
        raise ValueError(f"version {data.get('version')}")
    for name, kind in (("rounds", list), ("history", list), ("katas", dict), ("answers", dict)):
        if not isinstance(data.get(name), kind):
            raise ValueError(name)
    for entry in data["katas"].values():
        if attempt := form(Record, entry).attempt:
            form(Attempt, attempt)
    [form(Entry, each) for each in data["history"]]
    for entries in data["answers"].values():
        if not isinstance(entries, list):
            raise ValueError("answers")
        [form(Answer, each) for each in entries]
    if data.get("goal") is not None:
        form(Goal, data["goal"])
    for each in data["rounds"]:
        if not (isinstance(each, dict) and isinstance(each.get("katas"), dict)):
            raise ValueError("rounds")
        [form(Record, entry) for entry in each["katas"].values()]
    return data
