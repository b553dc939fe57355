"""What is remembered between runs, in .kata/: how far the hints went, and what `reset` replaced."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from grading.catalog import ROOT

VERSION = 1


class Progress:
    """A small JSON file, written whole or not at all."""

    def __init__(self, folder: Path = ROOT / ".kata") -> None:
        self.folder = folder
        self.file = folder / "progress.json"

    def hints(self, stem: str) -> int:
        """How many hints of that kata were shown."""
        level = self._read()["hints"].get(stem, 0)
        return level if isinstance(level, int) else 0

    def set_hints(self, stem: str, level: int) -> None:
        """Remember how many were shown."""
        data = self._read()
        data["hints"][stem] = level
        self._write(data)

    def back_up(self, path: Path) -> Path | None:
        """A copy of that file, and where it is; None where there is nothing to keep."""
        if not path.is_file():
            return None
        target = self.folder / "backups" / f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1000:03}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        return target

    def _read(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"version": VERSION, "hints": {}}
        try:
            data = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return empty
        except (OSError, ValueError):
            data = None
        if isinstance(data, dict) and data.get("version") == VERSION and isinstance(data.get("hints"), dict):
            return data
        self.file.replace(self.file.with_suffix(".damaged"))  # set aside, not lost
        return empty

    def _write(self, data: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self.folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(data, file)
        os.replace(name, self.file)
