"""Where candidates come from: a fork server, fresh processes, or the examiner's own process for debugging."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from secrets import token_hex
from typing import Any, Protocol

from grading.candidate import server, wire
from grading.candidate.child import Session
from grading.candidate.limits import Limits
from grading.candidate.transport import Candidate, EngineFault, FileWords, PipeWords, Process
from grading.catalog import ROOT

SERVER_SECONDS = 30.0


class Host(Protocol):
    """Where candidates come from."""

    def candidate(self) -> Candidate: ...

    def close(self) -> None: ...


class ForkHost:
    """Candidates forked from a server that has PyTorch loaded: a few milliseconds each.

    To be made right after `import torch`, before anything is loaded that a candidate may not know.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.workplace = tempfile.mkdtemp(prefix="kata-")
        self.control, theirs = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            try:
                self.control.close()
                server.serve(theirs, self.workplace)
            finally:
                os._exit(70)
        theirs.close()
        self.control.settimeout(SERVER_SECONDS)
        server.prctl(server.PR_SET_DUMPABLE, 0)  # no process of this user may look into the examiner's memory

    def candidate(self) -> Process:
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        try:
            socket.send_fds(self.control, [server.REQUEST.pack(b"s", 0)], [theirs.fileno(), writing])
            pid, _ = server.REPLY.unpack(self._answer(server.REPLY.size))
        except OSError as error:
            raise EngineFault(f"the fork server does not answer: {error}") from error
        finally:
            theirs.close()
            os.close(writing)
        words = PipeWords(reading, self.limits.printed_bytes)
        return Process(ours, words, _Once(lambda: self._kill(pid)), self.limits)

    def close(self) -> None:
        self.control.close()
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
        shutil.rmtree(self.workplace, ignore_errors=True)

    def _kill(self, pid: int) -> int:
        try:
            self.control.sendall(server.REQUEST.pack(b"k", pid))
            status = server.REPLY.unpack(self._answer(server.REPLY.size))[1]
            return os.waitstatus_to_exitcode(status)
        except OSError as error:
            raise EngineFault(f"the fork server does not answer: {error}") from error

    def _answer(self, size: int) -> bytes:
        reply = self.control.recv(size, socket.MSG_WAITALL)
        if len(reply) != size:
            raise EngineFault("the fork server is gone")
        return reply


class SpawnHost:
    """Candidates in fresh processes, for systems without fork: as long as `import torch` takes, each."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.workplace = tempfile.mkdtemp(prefix="kata-")

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
        return Process(channel, words_read, _Once(lambda: _end(process)), self.limits)

    def close(self) -> None:
        shutil.rmtree(self.workplace, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> int:
    process.kill()
    return process.wait()


class _Once:
    """Runs something at most once, and keeps what it gave."""

    def __init__(self, thunk: Callable[[], int]) -> None:
        self.thunk = thunk
        self.value: int | None = None

    def __call__(self) -> int:
        if self.value is None:
            self.value = self.thunk()
        return self.value


class InProcess:
    """The candidate in the examiner's own process: breakpoint() works, and nothing is refused or limited."""

    layers: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.session = Session([], strict=False)

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        copy = wire.decode(wire.encode(request, strided=True), strided=True)
        reply = wire.decode(wire.encode(self.session.answer(copy)))
        assert isinstance(reply, dict)
        return reply

    def printed(self) -> str:
        return ""

    def close(self) -> None:
        pass


class DebugHost:
    """Candidates for --debug."""

    def candidate(self) -> InProcess:
        return InProcess()

    def close(self) -> None:
        pass


def host(limits: Limits) -> Host:
    """The quickest host that this system has."""
    return ForkHost(limits) if hasattr(os, "fork") else SpawnHost(limits)
