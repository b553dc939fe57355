"""Grading in a notebook: `%load_ext grading`, then `%%kata mha` for a cell's text or `%kata mha` for the file.

Hosts without magics call `check("mha")` or `check("mha", source)`; the last value of a cell shows itself.
The examiner is a process beside the kernel (see process.py) that stays warm until the kernel ends.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from typing import Any

from grading.catalog import ROOT, Catalog
from grading.records import EngineFault

START = [sys.executable, "-m", "grading.practice.notebook.examiner_process"]
GRACE = 2.0


class Lost(EngineFault):
    """The examiner's process is gone."""


class Verdict:
    """A grade that a notebook shows as HTML and everything else as text. `report` is what --json prints."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.report: dict[str, Any] = answer["report"]
        self._html = str(answer["html"])
        self._text = str(answer["text"])

    @property
    def passed(self) -> bool:
        return all(kata["outcome"] == "passed" for kata in self.report["katas"])

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self._text


class ExaminerProcess:
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


PROCESS = ExaminerProcess()
atexit.register(PROCESS.close)


def check(kata: str, source: str | None = None, seed: int | None = None) -> Verdict:
    """Grade the text of a submission, or problems/<kata>.py. Raises ValueError for an unknown kata, EngineFault."""
    stem = Catalog().find(kata).stem
    language = os.environ.get("KATA_LANG", "")
    return Verdict(PROCESS.ask({"kata": stem, "source": source, "seed": seed, "language": language}))


def kata(line: str, cell: str | None = None) -> Verdict | None:
    """The magic. The cell's first line is the magic itself: an empty line in its place keeps the numbers right."""
    words = line.split()
    if len(words) != 1:
        print(f"%kata KATA, or %%kata KATA above your code. KATA is one of {', '.join(Catalog().stems)}")
        return None
    try:
        return check(words[0], None if cell is None else f"\n{cell}")
    except ValueError as error:
        print(error)
        return None


def load(shell: Any) -> None:
    """Register the magic and start the examiner, so that it is warm when the first cell wants it."""
    shell.register_magic_function(kata, magic_kind="line_cell", magic_name="kata")
    PROCESS.start()
