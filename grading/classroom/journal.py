"""What a cohort's run has found, one JSON line a graded file: only added to, and on the disk before it counts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any


class Mismatch(Exception):
    """The journal belongs to another run; the text says how it differs."""


class Journal:
    """A file of lines; the first says which grader and which seed the others are from.

    A run that was killed leaves at most half a line at the end, which the next one cuts off. Only where each line
    begins is kept in memory.
    """

    def __init__(self, path: Path, grader: str, seed: int | None, new_seed: int) -> None:
        path.touch()
        self._file = path.open("r+b")
        try:
            _lock(self._file.fileno())
            self._begins: dict[str, int] = {}
            self.seed = self._header(grader, seed, new_seed)
            self._scan()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._begins

    def __len__(self) -> int:
        return len(self._begins)

    def __getitem__(self, key: str) -> dict[str, Any]:
        self._file.seek(self._begins[key])
        found: dict[str, Any] = json.loads(self._file.readline())
        return found

    def add(self, key: str, found: dict[str, Any]) -> None:
        """On return it is on the disk."""
        self._begins[key] = self._append({"key": key, **found})

    def _append(self, line: dict[str, Any]) -> int:
        begin = self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(line).encode("ascii") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        return begin

    def _header(self, grader: str, seed: int | None, new_seed: int) -> int:
        first = self._file.readline()
        if not first.endswith(b"\n"):  # new, or killed while the header was written
            self._file.truncate(0)
            header = {"grader": grader, "seed": new_seed if seed is None else seed}
            self._append(header)
            self._file.seek(0)
            first = self._file.readline()
        header = json.loads(first)
        if header["grader"] != grader:
            raise Mismatch("was written by another version of the grader: choose another --out")
        if seed not in (None, header["seed"]):
            raise Mismatch(f"was begun with --seed {header['seed']}: choose another --out, or leave --seed out")
        return int(header["seed"])

    def _scan(self) -> None:
        begin = self._file.tell()
        while line := self._file.readline():
            if not line.endswith(b"\n"):
                self._file.truncate(begin)
                break
            self._begins[json.loads(line)["key"]] = begin
            begin = self._file.tell()


def _lock(descriptor: int) -> None:
    """Two runs may not write into one journal; the kernel lets go when this process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Mismatch("is in use by another run") from None
