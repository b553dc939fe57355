"""The files in a submission that is a folder, a zip, a git commit or a bundle: by name, to be read with a limit.

A link is not followed, and nothing of a repository is checked out.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

DEEPEST = 3  # folders above a file: repository-main/problems/sdpa.py has two
ELSEWHERE = frozenset({"solutions", "tests", "notebooks", "grading", "katas", "benchmarks", "__pycache__", "__MACOSX"})
GIT_SECONDS = 60
# a repository of somebody else's: its owner is another user, and nothing in it may start a program
SAFE = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
REGULAR = ("100644", "100755")


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


# ------------------------------------------------------------------------------------------------------ git


def in_commit(repository: Path, revision: str) -> Iterator[Entry]:
    """All files of a commit. Raises Unfit where there is no such commit."""
    for line in _git(repository, "ls-tree", "-r", "-l", "-z", "--full-tree", revision).split(b"\0"):
        if not line:
            continue
        mode_kind_object_size, _, path = line.partition(b"\t")
        mode, _kind, name, size = mode_kind_object_size.decode().split()
        read = _blob_reader(repository, name)
        size_known = int(size) if size.isdigit() else 0
        yield Entry(PurePosixPath(path.decode(errors="replace")), mode in REGULAR, size_known, read)


@contextmanager
def unbundled(bundle: Path) -> Iterator[tuple[Path, str]]:
    """A bare repository with a bundle's commits, and the commit that it would check out."""
    with tempfile.TemporaryDirectory(prefix="kata-bundle-") as folder:
        repository = Path(folder)
        _git(repository, "init", "--quiet", "--bare")
        options = ("-c", "fetch.fsckObjects=true", "-c", "core.bigFileThreshold=1m")
        heads = _git(repository, "bundle", "list-heads", str(bundle.resolve())).decode().split("\n")
        tips = {name: commit for commit, _, name in (head.partition(" ") for head in heads) if name}
        if not tips:
            raise Unfit("the bundle has no branch")
        best = next((name for name in ("HEAD", "refs/heads/main", "refs/heads/master") if name in tips), min(tips))
        _git(repository, *options, "fetch", "--quiet", "--no-tags", str(bundle.resolve()), best)
        yield repository, tips[best]


def _blob_reader(repository: Path, blob: str) -> Callable[[int], bytes]:
    return lambda limit: _git(repository, "cat-file", "blob", blob)[:limit]


def _git(repository: Path, *arguments: str) -> bytes:
    quiet = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | quiet
    command = ["git", *SAFE, "-C", str(repository), *arguments]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=GIT_SECONDS, check=False
        )
    except FileNotFoundError:
        raise Unfit("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unfit(f"git did not finish within {GIT_SECONDS} seconds") from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise Unfit(f"git cannot read it: {words[-1] if words else done.returncode}")
    return done.stdout
