"""Hostile files without some layers of the grader, watched: fences.py runs this in a copy of the repository.

    python benchmarks/watched.py RESULT LAYER,LAYER < names

What harm a file does is looked for from outside of the processes that it runs in, and all of these are killed.
"""

from __future__ import annotations

import gc
import json
import os
import secrets
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grading.authoring.submissions import files, header

LAYERS = ("process", "wire", "deadlines", "limits", "landlock", "seccomp", "audit", "rules", "forbidden")
# These hold for a whole process as long as it lives, so that the examiner's own could not do its work below them.
OF_A_CANDIDATE = frozenset({"limits", "landlock", "seccomp", "audit", "forbidden"})
# the harm that a file would do -> the layers that keep it from that by the kernel's hand: one has to be there
HOLDING = {
    "processes": {"seccomp"},
    "signals": {"landlock", "seccomp"},
    "files": {"landlock", "seccomp"},
    "memory": {"limits"},
}

START_SECONDS, FILE_SECONDS, HANGING_SECONDS = 60.0, 30.0, 8.0  # until the first file, for a file, without deadlines
MOST_MEMORY, MOST_RESERVED = 560 << 20, 1 << 30  # bytes that a process holds, and that it adds to its address space
MOST_TASKS, MOST_DESCRIPTORS = 100, 100  # of a process; the limits here are 256 MiB, 512 MiB, and 64 files


def main() -> None:
    off, asked = frozenset(filter(None, sys.argv[2].split(","))), sys.stdin.read().split()
    from benchmarks import unfenced

    unfenced.adopt()
    absent = unfenced.absent()
    if "process" in off:  # nothing to keep from a candidate: each file's process is quicker so
        import grading.examination.examiner
        import grading.examination.plugin  # noqa: F401
    gc.freeze()
    chosen = [path for path in files("hostile") if path.stem in asked]
    found = experiment(off, frozenset(LAYERS) - off - absent, chosen)
    Path(sys.argv[1]).write_text(json.dumps({**found, "absent": sorted(absent)}), encoding="utf-8")


def experiment(off: frozenset[str], left: frozenset[str], hostile: Sequence[Path]) -> dict[str, Any]:
    """The hostile files without the layers that are off, and right ones, which have to pass all the same.

    Returns:
        ran: the names of those that were graded; through: how some of them got through; not_run: what harm the others
        would have done, which no layer was left to hold.
    """
    harm = {path.stem: header(path, "harm") for path in hostile}
    not_run = {name: what for name, what in harm.items() if what and not HOLDING[what] & left}
    run = [path for path in hostile if path.stem not in not_run]
    right = [ROOT / "solutions" / f"{stem}.py" for stem in sorted({header(path, "kata") for path in run} - {""})]
    verdicts = graded(off, [*right, *run])
    if wrong := {path.stem: verdicts[path] for path in right if verdicts[path] != "passes"}:
        raise RuntimeError(f"right answers do not pass without {', '.join(sorted(off))}: {wrong}")
    through = {path.stem: verdicts[path] for path in run if verdicts[path]}
    return {"ran": [path.stem for path in run], "through": through, "not_run": not_run}


def graded(off: frozenset[str], paths: Sequence[Path]) -> dict[Path, str]:
    """How each file got through, an empty text where it did not. Where the grade is in the process that a file is run
    in, each has one of its own."""
    found: dict[Path, str] = {}
    while left := [path for path in paths if path not in found]:
        with Watched(off, left[:1] if "process" in off else left) as watched:
            for path in watched.files:
                verdict = watched.verdict()
                if verdict is not None:
                    found[path] = verdict
                if watched.over:
                    break
    return found


class Watched:
    """A process that grades files without some layers. Nothing of it, and nothing below it, is left at the end."""

    def __init__(self, off: frozenset[str], paths: Sequence[Path]) -> None:
        self.off, self.files = off, paths
        self.over = ""  # why it grades no further file
        self.begun = False
        self.token = secrets.token_hex(8).encode()
        self.text = b""

    def __enter__(self) -> Watched:
        self.reading, writing = os.pipe()
        going, self.go = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            grade_apart(self.off, self.files, writing, going, self.token)
        os.close(writing)
        os.close(going)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.reading)
        os.close(self.go)
        end_all_below()

    def verdict(self) -> str | None:
        """How the next file gets through, or an empty text; None where the one before has ended the process since."""
        begun = self.said("begin", START_SECONDS, lambda: None)
        if begun is None:
            return None if self.begun else f"{self.over} before it begins"
        self.begun = True
        server, harms, tree = begun["server"], dict[str, None](), snapshot()
        usual, before = sizes(self.pid).get("VmSize", 0), children(server)
        seconds = HANGING_SECONDS if "deadlines" in self.off else FILE_SECONDS
        ended = self.said("end", seconds, lambda: harms.update(dict.fromkeys(self.harms(usual))))
        if ended is None:
            return self.over
        if left := len(children(server) - before):
            harms[f"leaves {left} processes"] = None
        if left := len(snapshot() ^ tree):
            harms[f"leaves {left} files"] = None
        try:
            os.write(self.go, b"g")
        except BrokenPipeError:
            pass  # it has ended since: the next file begins in another
        said = {"passed": ["passes"], "failed": [], "broken": []}.get(ended["outcome"], [ended["outcome"]])
        self.over = ended["outcome"] if ended["outcome"].startswith("fault") else ""
        return ", ".join([*said, *harms])

    def said(self, what: str, seconds: float, look: Callable[[], None]) -> dict[str, Any] | None:
        """The next line of that kind; without one in that time `over` says why. Meanwhile `look` is called again and
        again."""
        end = time.monotonic() + seconds
        while True:
            line, found, rest = self.text.partition(b"\n")
            if found:
                self.text = rest
                said = json.loads(line.removeprefix(self.token)) if line.startswith(self.token) else {}
                if what in said:
                    return dict(said)
                continue
            if time.monotonic() > end:
                self.over = f"no verdict in {seconds:g} s"
                return None
            look()
            if select.select([self.reading], [], [], 0.01)[0]:
                part = os.read(self.reading, 1 << 16)
                self.text += part
                if not part:
                    self.over = "ends the grade"
                    return None

    def harms(self, usual: int) -> Iterable[str]:
        """What a process down there does that no grade needs."""
        for pid in below(self.pid) | {self.pid}:
            held = sizes(pid)
            if held.get("VmRSS", 0) > MOST_MEMORY:
                yield "fills memory"
            if held.get("VmSize", 0) - usual > MOST_RESERVED:
                yield "reserves memory"
            for folder, most, harm in (("task", MOST_TASKS, "threads"), ("fd", MOST_DESCRIPTORS, "descriptors")):
                if entries(pid, folder) > most:
                    yield f"more than {most} {harm}"


def grade_apart(off: frozenset[str], paths: Sequence[Path], writing: int, going: int, token: bytes) -> None:
    """The process that is watched: a session of its own, two pipes, a bound on all that it might use up."""
    try:
        from benchmarks import unfenced

        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for target in (0, 1, 2):
            os.dup2(null, target)
        unfenced.guard()
        unfenced.grade(off, paths, unfenced.speaking(writing, token), going)
    finally:
        os._exit(1)


def snapshot() -> set[tuple[str, int, int]]:
    """The files of the copy, and of the folder for temporary ones."""
    found = (Path(folder) / name for folder, _, names in os.walk(ROOT.parent) for name in names)
    return {(str(path), status.st_size, status.st_mtime_ns) for path in found if (status := path.lstat())}


def sizes(pid: int) -> dict[str, int]:
    """VmSize, VmRSS ... of a process in bytes; nothing where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Vm")}


def entries(pid: int, folder: str) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/{folder}"))
    except OSError:
        return 0


def children(pid: int) -> set[int]:
    try:
        return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return set()


def below(pid: int) -> set[int]:
    """The descendants of a process."""
    found = children(pid)
    return found.union(*map(below, found))


def end_all_below() -> None:
    """Kill and reap every descendant of this process: it is the subreaper, so that none can leave it."""
    while left := below(os.getpid()):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


if __name__ == "__main__":
    main()
