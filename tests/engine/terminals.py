"""A copy of the repository, its grader on a command line, and a pseudo-terminal to run it in."""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

from grading.catalog import ROOT
from tests.engine.processes import interruptible


def copied(folder, everything=False):
    """The repository, without what a learner does not need unless everything is asked for."""
    target = folder / "katas"
    if everything:
        return shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(".*", "__pycache__", "build"))
    target.mkdir()
    for name in ("grader.py", "grading", "katas", "problems", "solutions", "tests", "notebooks", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            leave_out = shutil.ignore_patterns("__pycache__", "right", "hostile", "*.ipynb", "engine")
            shutil.copytree(source, target / name, ignore=leave_out)
        else:
            shutil.copy(source, target)
    return target


def grader(root, *arguments, given="", **environment):
    """A command line of the grader in that folder, to its end; no terminal at the other end."""
    command = [sys.executable, "grader.py", *map(str, arguments)]
    settings = {**os.environ, "COLUMNS": "100", **environment}
    return subprocess.run(command, cwd=root, env=settings, input=given, capture_output=True, text=True, timeout=120)


def in_front_of_a_terminal():
    interruptible()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A program in a pseudo-terminal: what it writes is kept, keys are sent, the size can change."""

    def __init__(self, root, *arguments, rows=24, columns=80, **environment):
        self.master, slave = pty.openpty()
        self.resize(rows, columns, tell=False)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        own_size = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "grader.py", *arguments],
            cwd=root,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=in_front_of_a_terminal,
            env={**own_size, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1", **environment},
        )
        self.raw = b""

    @property
    def text(self):
        """What was written, without colours, links and cursor movements."""
        text = self.raw.decode("utf-8", "replace")
        text = re.sub(r"\x1b\]8;[^\x1b]*\x1b\\", "", text)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

    def read(self, seconds=0.05):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return False
        try:
            part = os.read(self.master, 65536)
        except OSError:
            return False
        self.raw += part
        return bool(part)

    def until(self, *words, seconds=30):
        """Read until all of the words are there; what was there is forgotten."""
        end = time.monotonic() + seconds
        while not all(word in self.text for word in words):
            assert time.monotonic() < end, f"no {words} in\n{self.text[-3000:]}"
            assert self.read() or self.process.poll() is None, f"it ended:\n{self.text[-3000:]}"
        while self.read(0.03):  # the rest of that screen, or it would be taken for the next one
            pass
        text, self.raw = self.text, b""
        return text

    def settle(self, seconds=0.3):
        """Read what comes until nothing comes for a while, and forget it."""
        while self.read(seconds):
            pass
        text, self.raw = self.text, b""
        return text

    def press(self, keys):
        os.write(self.master, keys.encode())

    def resize(self, rows, columns, tell=True):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            os.kill(self.process.pid, signal.SIGWINCH)

    def finish(self, seconds=20):
        """Wait for the end; the exit status."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self.read()
        while self.read():
            pass
        return self.process.poll()

    def restored(self):
        """Whether the terminal is as it was, with the cursor shown and the first screen back."""
        raw = self.raw
        return termios.tcgetattr(self.slave) == self.before and b"\x1b[?1049l" in raw and b"\x1b[?25h" in raw

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
