"""The examiner's end of the fork server: starts candidates, ahead of time where they are expected, and ends them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections import deque
from dataclasses import dataclass

from grading.candidate import server
from grading.candidate.limits import Limits
from grading.candidate.transport import Ending, PipeOutput, Process
from grading.records import EngineFault

SERVER_SECONDS = 30.0


@dataclass
class _Reply:
    """The server's reply to a request, once it is there: a pid and a wait status."""

    value: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Started:
    """A candidate of the fork server's: our end of its channel, its output, and the reply that has its pid."""

    channel: socket.socket
    output: int
    reply: _Reply


class ForkHost:
    """Candidates forked from a server that has PyTorch loaded: a few milliseconds each.

    To be made right after `import torch`, before anything is loaded that a candidate may not know.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.workplace = tempfile.mkdtemp(prefix="kata-")
        self.control, theirs = socket.socketpair()
        # Ctrl-C in the moment before the server has a session of its own is none of its business
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self.pid = os.fork()
        if self.pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        else:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.pthread_sigmask(signal.SIG_SETMASK, held)
                server.serve(theirs, self.workplace)
            finally:
                os._exit(70)
        theirs.close()
        self.control.settimeout(SERVER_SECONDS)
        self.started: deque[_Started] = deque()  # candidates that nobody has asked for yet
        self.owed: deque[_Reply] = deque()  # what the server owes, in the order of the requests
        server.prctl(server.PR_SET_DUMPABLE, 0)  # no process of this user may look into the examiner's memory

    def expect(self, count: int) -> None:
        for _ in range(count - len(self.started)):
            self.started.append(self._start())

    def candidate(self) -> Process:
        one = self.started.popleft() if self.started else self._start()
        output = PipeOutput(one.output, self.limits.printed_bytes)
        return Process(one.channel, output, self._ending(one), self.limits)

    def settle(self) -> None:
        while self.started:
            one = self.started.popleft()
            one.channel.close()
            os.close(one.output)
            self._ending(one).begin()
        while self.owed:
            self._next()

    def _start(self) -> _Started:
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        try:
            socket.send_fds(self.control, [server.REQUEST.pack(b"s", 0)], [theirs.fileno(), writing])
        except OSError as error:
            raise EngineFault(f"the fork server does not answer: {error}") from error
        finally:
            theirs.close()
            os.close(writing)
        reply = _Reply()
        self.owed.append(reply)
        return _Started(ours, reading, reply)

    def close(self) -> None:
        self.control.close()
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
        shutil.rmtree(self.workplace, ignore_errors=True)

    def _ending(self, one: _Started) -> Ending[_Reply]:
        return Ending(lambda: self._kill(one), lambda reply: os.waitstatus_to_exitcode(self._await(reply)[1]))

    def _kill(self, one: _Started) -> _Reply:
        pid, _ = self._await(one.reply)
        try:
            self.control.sendall(server.REQUEST.pack(b"k", pid))
        except OSError as error:
            raise EngineFault(f"the fork server does not answer: {error}") from error
        reply = _Reply()
        self.owed.append(reply)
        return reply

    def _await(self, reply: _Reply) -> tuple[int, int]:
        while reply.value is None:
            self._next()
        return reply.value

    def _next(self) -> None:
        """Receive what the server has owed for longest."""
        try:
            reply = self.control.recv(server.REPLY.size, socket.MSG_WAITALL)
        except OSError as error:
            raise EngineFault(f"the fork server does not answer: {error}") from error
        if len(reply) != server.REPLY.size:
            raise EngineFault("the fork server is gone")
        pid, status = server.REPLY.unpack(reply)
        self.owed.popleft().value = pid, status
