"""Where candidates come from: a fork server, or fresh processes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import deque
from dataclasses import dataclass
from secrets import token_hex
from typing import IO, Protocol

from grading.candidate.fork import ForkHost
from grading.candidate.limits import Limits
from grading.candidate.transport import Candidate, Ending, FileOutput, Process
from grading.catalog import ROOT
from grading.records import EngineFault

SERVER_SECONDS = 30.0


class Host(Protocol):
    """Where candidates come from."""

    def expect(self, count: int) -> None:
        """So many candidates will be asked for at once: they may be started already, if that can be had."""
        ...

    def candidate(self) -> Candidate: ...

    def settle(self) -> None:
        """Wait until what was closed is gone, and end what was expected and not asked for."""
        ...

    def close(self) -> None: ...


@dataclass
class _Started:
    """A process that will connect to the listener, say the token, and be a candidate."""

    process: subprocess.Popen[bytes]
    listener: socket.socket
    token: str
    output: IO[bytes]
    ending: Ending[None]


class SpawnHost:
    """Candidates in fresh processes, where forking is not safe or not there: as long as `import torch` takes, each.

    Those that are expected begin to import it together, as many as half of the cores.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.workplace = tempfile.mkdtemp(prefix="kata-")
        self.started: deque[_Started] = deque()  # candidates that nobody has asked for yet
        self.endings: list[Ending[None]] = []

    def expect(self, count: int) -> None:
        for _ in range(min(count, (os.cpu_count() or 1) // 2) - len(self.started)):
            self.started.append(self._start())

    def candidate(self) -> Process:
        one = self.started.popleft() if self.started else self._start()
        with one.listener:
            one.listener.settimeout(SERVER_SECONDS)
            channel, _ = one.listener.accept()
        if channel.recv(len(one.token), socket.MSG_WAITALL) != one.token.encode():
            raise EngineFault("something else answered in place of the candidate")
        self.endings.append(one.ending)
        return Process(channel, FileOutput(one.output, self.limits.printed_bytes), one.ending, self.limits)

    def _start(self) -> _Started:
        token = token_hex(16)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        code = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); from grading.candidate.server import spawned; "
            f"spawned({port}, sys.stdin.readline().strip(), {self.workplace!r})"
        )
        output = tempfile.TemporaryFile()
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=output, stderr=output)
        assert process.stdin is not None
        with process.stdin as pipe:
            pipe.write(f"{token}\n".encode())
        return _Started(process, listener, token, output, Ending(process.kill, lambda _: process.wait()))

    def settle(self) -> None:
        while self.started:
            one = self.started.popleft()
            one.listener.close()
            one.output.close()
            self.endings.append(one.ending)
        while self.endings:
            self.endings.pop()()

    def close(self) -> None:
        self.settle()
        shutil.rmtree(self.workplace, ignore_errors=True)


def host(limits: Limits) -> Host:
    """The quickest host that is safe on this system: the libraries that PyTorch uses on macOS do not survive a fork."""
    return ForkHost(limits) if sys.platform == "linux" else SpawnHost(limits)
