"""An examiner for many grades in a row: one process, each grade can be cut short, nothing is left of it."""

from __future__ import annotations

import gc
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grading.candidate.transport import Died, Stopped
from grading.catalog import ROOT
from grading.examine import Examiner
from grading.records import Report

Marks = dict[str, tuple[int, int, int]]


class Warm(Examiner):
    """Grades again and again. To be made before any thread is started, for it forks."""

    def __init__(self) -> None:
        super().__init__()
        self._gate = Gate(self._host)
        self._host = self._gate
        self._tests = marks(ROOT / "tests")

    def grade_unless_cut(self, stems: Sequence[str], folder: Path) -> Report | None:
        """The report; None where `cut` was called meanwhile."""
        self._gate.open()
        self._forget_old_tests()
        report = self.grade(stems, folder)
        return None if self._gate.shut else report

    def cut(self) -> None:
        """End the grade that is running, from another thread or a signal handler: nobody waits for its verdict."""
        self._gate.close_it()

    def tidy(self) -> None:
        """Between two grades: what pytest left in cycles goes, and what is left of the candidates."""
        gc.collect()
        self._host.settle()

    def _forget_old_tests(self) -> None:
        """Have tests that were edited imported anew."""
        now = marks(ROOT / "tests")
        if now == self._tests:
            return
        self._tests = now
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file and Path(file).parent == ROOT / "tests":
                del sys.modules[name]


class Gate:
    """A host whose candidates can all be stopped at once. What it does not know of, the host behind it answers."""

    def __init__(self, host: Any) -> None:
        self._host = host
        self._inside: list[Gated] = []
        self._lock = threading.RLock()  # reentrant: a signal handler may come in the middle
        self.shut = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def expect(self, count: int) -> None:
        self._host.expect(count)

    def settle(self) -> None:
        self._host.settle()

    def close(self) -> None:
        self._host.close()

    def candidate(self) -> Gated:
        candidate = Gated(self._host.candidate(), self)
        with self._lock:
            self._inside.append(candidate)
        return candidate

    @contextmanager
    def passing(self) -> Iterator[None]:
        """While it is open; whoever is in it when it shuts is stopped."""
        if self.shut:
            raise Stopped("cut short")
        try:
            yield
        except Died:
            if self.shut:
                raise Stopped("cut short") from None  # a candidate that stopped is not replaced
            raise

    def open(self) -> None:
        with self._lock:
            self.shut, self._inside = False, []

    def close_it(self) -> None:
        with self._lock:
            self.shut = True
            channels = [getattr(candidate.behind, "channel", None) for candidate in self._inside]
        for channel in channels:
            try:
                if channel is not None:
                    channel.shutdown(socket.SHUT_RDWR)  # whoever waits for an answer finds the end of it
            except OSError:
                pass  # closed already


class Gated:
    """A candidate that answers while the gate is open."""

    def __init__(self, behind: Any, gate: Gate) -> None:
        self.behind = behind
        self.layers: tuple[str, ...] = behind.layers
        self._gate = gate

    def send(self, frame: bytes, seconds: float) -> None:
        with self._gate.passing():
            self.behind.send(frame, seconds)

    def receive(self, seconds: float) -> dict[str, Any]:
        with self._gate.passing():
            reply: dict[str, Any] = self.behind.receive(seconds)
        return reply

    def printed(self) -> str:
        return str(self.behind.printed())

    def close(self) -> None:
        self.behind.close()


def marks(folder: Path) -> Marks:
    """What tells whether a Python file in that folder was changed: time, size and inode of each."""
    found: Marks = {}
    try:
        for path in folder.glob("*.py"):
            stat = path.stat()
            found[path.name] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    except OSError:
        pass  # it went away meanwhile: whoever saved it saves again
    return found
