"""The learner's files as a git commit has them: blobs by name; nothing is checked out."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from grading.classroom.entries import Entry, Unfit

SECONDS = 60
# a repository of somebody else's: its owner is another user, and nothing in it may start a program
SAFE = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
REGULAR = ("100644", "100755")


def entries(repository: Path, revision: str) -> Iterator[Entry]:
    """All files of a commit. Raises Unfit where there is no such commit."""
    for line in _git(repository, "ls-tree", "-r", "-l", "-z", "--full-tree", revision).split(b"\0"):
        if not line:
            continue
        mode_kind_object_size, _, path = line.partition(b"\t")
        mode, _kind, name, size = mode_kind_object_size.decode().split()
        read = _reader(repository, name)
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


def _reader(repository: Path, blob: str) -> Callable[[int], bytes]:
    return lambda limit: _git(repository, "cat-file", "blob", blob)[:limit]


def _git(repository: Path, *arguments: str) -> bytes:
    quiet = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | quiet
    command = ["git", *SAFE, "-C", str(repository), *arguments]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
    except FileNotFoundError:
        raise Unfit("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unfit(f"git did not finish within {SECONDS} seconds") from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise Unfit(f"git cannot read it: {words[-1] if words else done.returncode}")
    return done.stdout
