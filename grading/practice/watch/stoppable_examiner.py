"""An examiner for many grades in a row: one process, each grade can be cut short, nothing is left of it."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grading.candidate.transport import Died, Stopped
from grading.catalog import ROOT
from grading.examination.collection import checks
from grading.examination.examiner import Examiner
from grading.practice.watch.saved_files import Stamps, stamps
from grading.records import Report


class StoppableExaminer(Examiner):
    """Grades again and again. To be made before any thread is started, for it forks."""

    def __init__(self) -> None:
        super().__init__()
        self._stoppable = StoppableHost(self.host)
        self.host = self._stoppable
        self._tests = _grader_files()

    def grade_unless_stopped(self, stems: Sequence[str], folder: Path) -> Report | None:
        """The report; None where `stop` was called meanwhile."""
        self._stoppable.start()
        self._forget_old_tests()
        report = self.grade(stems, folder)
        return None if self._stoppable.stopped else report

    def stop(self) -> None:
        """End the grade that is running, from another thread or a signal handler: nobody waits for its verdict."""
        self._stoppable.stop()

    def _forget_old_tests(self) -> None:
        """Have tests that were edited imported anew."""
        now = _grader_files()
        if now == self._tests:
            return
        self._tests = now
        for name, module in list(sys.modules.items()):
            if getattr(module, "__file__", None) in now:
                del sys.modules[name]
        checks.cache_clear()


def _grader_files() -> Stamps:
    """The graders, and what of katas/ they import."""
    return stamps(ROOT / "tests", "*.py") | stamps(ROOT / "katas", "*/*.py")


class StoppableHost:
    """A host whose candidates can all be stopped at once. What it does not know of, the host behind it answers."""

    def __init__(self, host: Any) -> None:
        self._host = host
        self._inside: list[StoppableCandidate] = []
        self._lock = threading.RLock()  # reentrant: a signal handler may come in the middle
        self.stopped = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def expect(self, count: int) -> None:
        self._host.expect(count)

    def settle(self) -> None:
        self._host.settle()

    def close(self) -> None:
        self._host.close()

    def candidate(self) -> StoppableCandidate:
        candidate = StoppableCandidate(self._host.candidate(), self)
        with self._lock:
            self._inside.append(candidate)
        return candidate

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While it is open; whoever is in it when it shuts is stopped."""
        if self.stopped:
            raise Stopped("cut short")
        try:
            yield
        except Died:
            if self.stopped:
                raise Stopped("cut short") from None  # a candidate that stopped is not replaced
            raise

    def start(self) -> None:
        with self._lock:
            self.stopped, self._inside = False, []

    def stop(self) -> None:
        with self._lock:
            self.stopped = True
            channels = [getattr(candidate.behind, "channel", None) for candidate in self._inside]
        for channel in channels:
            try:
                if channel is not None:
                    channel.shutdown(socket.SHUT_RDWR)  # whoever waits for an answer finds the end of it
            except OSError:
                pass  # closed already


class StoppableCandidate:
    """A candidate that answers while its host lets it."""

    def __init__(self, behind: Any, host: StoppableHost) -> None:
        self.behind = behind
        self.fences: tuple[str, ...] = behind.fences
        self._stoppable = host

    def send(self, frame: bytes, seconds: float) -> None:
        with self._stoppable.answering():
            self.behind.send(frame, seconds)

    def receive(self, seconds: float) -> dict[str, Any]:
        with self._stoppable.answering():
            reply: dict[str, Any] = self.behind.receive(seconds)
        return reply

    def printed(self) -> str:
        return str(self.behind.printed())

    def close(self) -> None:
        self.behind.close()
