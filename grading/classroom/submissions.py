"""What somebody hands in: a folder, a zip or a git bundle -> at most one file a kata, as bytes.

Nothing is ever unpacked under a name of theirs: files are found by name, read with a limit, and a link is not followed.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from grading.catalog import Catalog
from grading.classroom.entries import DEEPEST, ELSEWHERE, Entry, Unfit, in_commit, in_folder, in_zip, unbundled
from grading.records import CheckResult, KataResult, Report

FILE = 256 * 1024  # bytes of one file; the candidate's own limit is the same
ARCHIVE = 64 * 1024 * 1024
ENTRIES = 20_000


@dataclass(frozen=True)
class Submission:
    """The files that were found, by kata; what was refused, with the reason; and why nothing could be read, if so."""

    name: str
    files: dict[str, bytes] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    fault: str = ""

    @property
    def digest(self) -> str:
        """The same for the same contents, whatever they were packed in."""
        parts = [*sorted(self.files.items()), *sorted(self.refused.items()), ("", self.fault)]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def found(folder: Path) -> list[Path]:
    """The submissions in a folder, in order of their names."""
    paths = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in paths if path.suffix in (".zip", ".bundle") or path.is_dir())


def take(path: Path) -> Submission:
    """Read one; whatever is wrong with it is in what comes back."""
    try:
        if path.is_symlink():
            raise Unfit("it is a link")
        if path.is_dir():
            return chosen(path.name, in_folder(path))
        if path.stat().st_size > ARCHIVE:
            raise Unfit(f"it has more than {ARCHIVE >> 20} MiB")
        if path.suffix == ".bundle":
            with unbundled(path) as (repository, revision):
                return chosen(path.name, in_commit(repository, revision))
        with zipfile.ZipFile(path) as archive:
            return chosen(path.name, in_zip(archive))
    except Unfit as unfit:
        return Submission(path.name, fault=str(unfit))
    except (OSError, zipfile.BadZipFile, ValueError, UnicodeError) as error:
        return Submission(path.name, fault=f"it cannot be read: {error}")


def chosen(name: str, entries: Iterable[Entry]) -> Submission:
    """Of the files with a kata's name the one in problems/, else the nearest to the top; two such are refused."""
    ranked: dict[str, list[tuple[tuple[bool, int], Entry]]] = {}
    for count, entry in enumerate(entries):
        if count > ENTRIES:
            raise Unfit(f"it has more than {ENTRIES} files")
        if entry.path.suffix == ".py" and entry.path.stem in Catalog().stems and _here(entry.path):
            rank = (entry.path.parent.name != "problems", len(entry.path.parts))
            ranked.setdefault(entry.path.stem, []).append((rank, entry))
    files: dict[str, bytes] = {}
    refused: dict[str, str] = {}
    for stem, candidates in ranked.items():
        best = min(rank for rank, _ in candidates)
        nearest = [entry for rank, entry in candidates if rank == best]
        try:
            files[stem] = _contents(nearest)
        except (Unfit, OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            refused[stem] = str(error)
    return Submission(name, files, refused)


def _here(path: PurePosixPath) -> bool:
    """Whether a file's path is a plain one, and not that of a reference or a test."""
    folders = path.parts[:-1]
    plain = not path.is_absolute() and ".." not in folders and "\\" not in str(path) and len(folders) <= DEEPEST
    return plain and not any(part in ELSEWHERE or part.startswith(".") for part in folders)


def _contents(entries: list[Entry]) -> bytes:
    if len(entries) > 1:
        raise Unfit(
            f"there are {len(entries)} files of this name: {', '.join(str(entry.path) for entry in entries[:3])}"
        )
    (entry,) = entries
    if not entry.regular:
        raise Unfit("it is not a regular file")
    data = entry.read(FILE + 1) if entry.size <= FILE else b""
    if entry.size > FILE or len(data) > FILE:
        raise Unfit(f"the file has more than {FILE // 1024} KiB")
    return data


def as_problems(report: Report) -> Report:
    """The report with files named as in a learner's repository, wherever they were when they were graded."""
    return replace(report, katas=tuple(_renamed(result) for result in report.katas))


def _renamed(result: KataResult) -> KataResult:
    file = f"problems/{result.kata}.py"

    def place(where: str) -> str:
        return where.replace(result.file, file, 1) if where.startswith(result.file) else where

    def check(each: CheckResult) -> CheckResult:
        return replace(each, where=place(each.where))

    checks = tuple(check(each) for each in result.checks)
    return replace(result, file=file, where=place(result.where), checks=checks)
