"""The files in a submission that is a folder or a zip: by name, to be read with a limit. A link is not followed."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

DEEPEST = 3  # folders above a file: repository-main/problems/sdpa.py has two
ELSEWHERE = frozenset({"solutions", "tests", "notebooks", "grading", "katas", "benchmarks", "__pycache__", "__MACOSX"})


class Unfit(Exception):
    """A submission, or a file in it, that cannot be taken; the text says why."""


@dataclass(frozen=True)
class Entry:
    """A file somewhere in a submission. `read` gives at most so many bytes of it."""

    path: PurePosixPath
    regular: bool
    size: int
    read: Callable[[int], bytes]


def in_folder(root: Path) -> Iterator[Entry]:
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        inside = here.relative_to(root)
        folders[:] = sorted(name for name in folders if len(inside.parts) < DEEPEST and name not in ELSEWHERE)
        for name in sorted(files):
            status = (here / name).lstat()
            reader = _reader(here / name)
            yield Entry(PurePosixPath(*inside.parts, name), stat.S_ISREG(status.st_mode), status.st_size, reader)


def _reader(path: Path) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            return file.read(limit)

    return read


def in_zip(archive: zipfile.ZipFile) -> Iterator[Entry]:
    def reader(info: zipfile.ZipInfo) -> Callable[[int], bytes]:
        def read(limit: int) -> bytes:
            with archive.open(info) as file:
                return file.read(limit)

        return read

    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was made on Windows
        regular = not info.is_dir() and kind in (0, stat.S_IFREG)
        yield Entry(PurePosixPath(info.filename), regular, info.file_size, reader(info))
