"""The kernel's end of the examiner: a process beside it that is started once and stays warm until the kernel ends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

from grading.catalog import ROOT
from grading.records import EngineFault

START = [sys.executable, "-m", "grading.practice.notebook.examiner_process"]
GRACE = 2.0


class Lost(EngineFault):
    """The examiner's process is gone."""


class WarmExaminer:
    """The examiner's process: started once, asked again and again, started anew where it was lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = 0
        self._lock = threading.Lock()

    def start(self) -> subprocess.Popen[bytes]:
        """The process; what takes its time there does not keep anybody waiting here."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                START,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=ROOT,
                start_new_session=True,  # interrupting the kernel is no business of the examiner
            )
            self._process.stdin.write(b"\n")  # type: ignore[union-attr]  # an empty request warms it up
            self._process.stdin.flush()  # type: ignore[union-attr]
            self._unread = 1
        return self._process

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer. Raises EngineFault. A process that was lost gets one successor."""
        with self._lock:
            try:
                try:
                    return self._exchange(request)
                except Lost:
                    self.close()
                    return self._exchange(request)
            except BaseException:  # also an interrupt: the answer to a dropped question must not meet the next one
                self.close()
                raise

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self.start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            self._unread += 1
            while self._unread:
                line = process.stdout.readline()
                if not line:
                    raise Lost(f"the examiner's process ended (status {process.wait()})")
                self._unread -= 1
        except BrokenPipeError:
            raise Lost("the examiner's process ended") from None
        answer: dict[str, Any] = json.loads(line)
        if "fault" in answer:
            raise EngineFault(f"a fault of the grader, not of your code:\n{answer['fault']}")
        return answer

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.terminate()  # it cleans up
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()  # the fork server and its candidates end with it
            process.wait()
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass  # with a question in it
        process.stdout.close()
