"""Where candidates come from: a fork server, or fresh processes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from secrets import token_hex
from typing import Protocol

from grading.candidate.fork import ForkHost
from grading.candidate.limits import Limits
from grading.candidate.transport import Candidate, Ending, EngineFault, FileWords, Process
from grading.catalog import ROOT

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


class SpawnHost:
    """Candidates in fresh processes, for systems without fork: as long as `import torch` takes, each."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.workplace = tempfile.mkdtemp(prefix="kata-")
        self.endings: list[Ending[None]] = []

    def candidate(self) -> Process:
        token = token_hex(16)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            code = (
                f"import sys; sys.path.insert(0, {str(ROOT)!r}); from grading.candidate.server import spawned; "
                f"spawned({port}, sys.stdin.readline().strip(), {self.workplace!r})"
            )
            words = tempfile.TemporaryFile()
            process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=words, stderr=words)
            assert process.stdin is not None
            with process.stdin as pipe:
                pipe.write(f"{token}\n".encode())
            listener.settimeout(SERVER_SECONDS)
            channel, _ = listener.accept()
        if channel.recv(len(token), socket.MSG_WAITALL) != token.encode():
            raise EngineFault("something else answered in place of the candidate")
        words_read = FileWords(words, self.limits.printed_bytes)
        self.endings.append(Ending(process.kill, lambda _: process.wait()))
        return Process(channel, words_read, self.endings[-1], self.limits)

    def expect(self, count: int) -> None:
        pass  # each would be importing PyTorch, all at the same time

    def settle(self) -> None:
        while self.endings:
            self.endings.pop()()

    def close(self) -> None:
        self.settle()
        shutil.rmtree(self.workplace, ignore_errors=True)


def host(limits: Limits) -> Host:
    """The quickest host that this system has."""
    return ForkHost(limits) if hasattr(os, "fork") else SpawnHost(limits)
