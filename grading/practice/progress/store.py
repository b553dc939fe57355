"""The file of the learner's progress, .kata/progress.json: written whole or not at all, versioned, never lost."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from grading.catalog import ROOT
from grading.practice.progress.state import Attempt, Record, Review, form

VERSION = 3


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
        except (OSError, ValueError, RecursionError):
            self._set_aside()
            return _checked(_empty())

    def _set_aside(self) -> None:
        """Not lost: it goes beside the new one, and never over one that was set aside earlier."""
        target, number = self.file.with_suffix(".damaged"), 1
        while target.exists():
            number += 1
            target = self.file.with_suffix(f".damaged-{number}")
        self.file.replace(target)
        print(f"grader: {self.file.name} cannot be read and was set aside as {target.name}", file=sys.stderr)

    def write(self, data: dict[str, Any]) -> None:
        """Replace it as a whole."""
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
    return {"version": VERSION, "katas": {}, "reviews": {}, "rounds": []}


def _migrated(data: Any) -> dict[str, Any]:
    """A file of an earlier version in today's form.

    Version 1 knew only how far the hints went; version 2 called the attempt under way `go`.
    """
    if not isinstance(data, dict):
        raise ValueError("no object")
    if data.get("version") == 1:
        if not isinstance(hints := data.get("hints"), dict):
            raise ValueError("no hints")
        levels = {stem: level for stem, level in hints.items() if isinstance(level, int)}
        katas = {stem: {"hints": level, "hints_used": level} for stem, level in levels.items()}
        return _empty() | {"katas": katas}
    if data.get("version") == 2:
        rounds = data.get("rounds")
        for each in [data, *(rounds if isinstance(rounds, list) else [])]:
            entries = each.get("katas") if isinstance(each, dict) else None
            for entry in entries.values() if isinstance(entries, dict) else []:
                if isinstance(entry, dict):
                    entry["attempt"] = entry.pop("go", None)
        data["version"] = VERSION
    return data


def _checked(data: dict[str, Any]) -> dict[str, Any]:
    """The data, if all that is read from it later has its form; ValueError otherwise."""
    if data.get("version") != VERSION or not isinstance(data.get("rounds"), list):
        raise ValueError(f"version {data.get('version')}")
    for name in ("katas", "reviews"):
        if not isinstance(data.get(name), dict):
            raise ValueError(name)
    for entry in data["katas"].values():
        if attempt := form(Record, entry).attempt:
            form(Attempt, attempt)
    for entries in data["reviews"].values():
        if not isinstance(entries, list):
            raise ValueError("reviews")
        [form(Review, each) for each in entries]
    for each in data["rounds"]:
        if not (isinstance(each, dict) and isinstance(each.get("katas"), dict)):
            raise ValueError("rounds")
        [form(Record, entry) for entry in each["katas"].values()]
    return data
