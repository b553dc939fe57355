"""The examiner's end of a candidate: a request gets its reply in bounded time, or the reason why there is none."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from typing import IO, Any, Generic, Protocol, TypeVar

from grading.candidate import wire
from grading.candidate.limits import Limits

Begun = TypeVar("Begun")

SEND_BUFFER = 1 << 18  # takes what is asked ahead (connection.BYTES_AHEAD) while nobody reads it


class Stopped(Exception):
    """The candidate had to be stopped: it took too long, or what it sent is no answer."""


class Died(Exception):
    """The candidate's process ended in the middle of a request; the text says how."""


class Candidate(Protocol):
    """A process, or the examiner's own when debugging, that answers requests about one learner's file."""

    fences: tuple[str, ...]

    def send(self, frame: bytes, seconds: float) -> None:
        """Send a request. Raises Stopped or Died; after either the candidate is of no more use."""
        ...

    def receive(self, seconds: float) -> dict[str, Any]:
        """The reply to the first request that has none yet. Raises Stopped or Died, as `send`."""
        ...

    def printed(self) -> str:
        """What it printed since this was last asked, and how much was dropped."""
        ...

    def close(self) -> None: ...


class Output(Protocol):
    """What a candidate prints. `descriptor` is to be watched while waiting, where there is one."""

    @property
    def descriptor(self) -> int | None: ...

    def drain(self) -> bool: ...

    def take(self) -> str: ...

    def close(self) -> None: ...


class PipeOutput:
    """Output through a pipe: drained while the examiner waits, the beginning kept, the rest counted."""

    descriptor: int | None

    def __init__(self, descriptor: int, keep: int) -> None:
        self.descriptor = descriptor
        self.keep = keep
        self.kept = bytearray()
        self.dropped = 0
        os.set_blocking(descriptor, False)

    def drain(self) -> bool:
        """Read what is there, at most a few buffers of it; False at the end of the file."""
        if self.descriptor is None:
            return False
        for _ in range(16):
            try:
                part = os.read(self.descriptor, 65536)
            except BlockingIOError:
                return True
            if not part:
                return False
            room = max(0, self.keep - len(self.kept))
            self.kept += part[:room]
            self.dropped += len(part) - min(room, len(part))
        return True

    def take(self) -> str:
        self.drain()
        text = self.kept.decode("utf-8", "replace")
        if self.dropped:
            text += f"\n[{self.dropped} more bytes were dropped]"
        self.kept, self.dropped = bytearray(), 0
        return text

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


class FileOutput:
    """Output in a file, where a pipe cannot be watched: the beginning of what each request adds."""

    descriptor = None

    def __init__(self, file: IO[bytes], keep: int) -> None:
        self.file = file
        self.keep = keep
        self.at = 0

    def drain(self) -> bool:
        return False

    def take(self) -> str:
        size = os.fstat(self.file.fileno()).st_size
        part = os.pread(self.file.fileno(), self.keep, self.at) if hasattr(os, "pread") else self._read()
        self.at = size
        return part.decode("utf-8", "replace")

    def _read(self) -> bytes:
        self.file.seek(self.at)
        return self.file.read(self.keep)

    def close(self) -> None:
        self.file.close()


class Ending(Generic[Begun]):
    """Ends a process, once: `begin` without waiting for it, a call waits and gives the exit code."""

    def __init__(self, begin: Callable[[], Begun], finish: Callable[[Begun], int]) -> None:
        self._begin = begin
        self._finish = finish
        self._begun: list[Begun] = []
        self._code: int | None = None

    def begin(self) -> None:
        if not self._begun:
            self._begun.append(self._begin())

    def __call__(self) -> int:
        self.begin()
        if self._code is None:
            self._code = self._finish(self._begun[0])
        return self._code


class Process:
    """A candidate in a process of its own, which `end` kills."""

    def __init__(self, channel: socket.socket, output: Output, end: Ending[Any], limits: Limits) -> None:
        self.channel = channel
        self.output = output
        self.end = end
        self._ahead = bytearray()  # bytes that came and are not read yet: head and body come in one go
        self._selector: selectors.BaseSelector | None = None
        channel.setblocking(False)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        hello = self._receive(time.monotonic() + limits.load_seconds, limits.load_seconds)
        self.fences = tuple(str(fence) for fence in hello.get("fences", []))

    def receive(self, seconds: float) -> dict[str, Any]:
        return self._receive(time.monotonic() + seconds, seconds)

    def printed(self) -> str:
        return self.output.take()

    def close(self) -> None:
        if self._selector:
            self._selector.close()
        self.channel.close()
        self.end.begin()
        self.output.close()

    def send(self, frame: bytes, seconds: float) -> None:
        view, deadline = memoryview(frame), time.monotonic() + seconds
        while view:
            try:
                view = view[self.channel.send(view) :]
            except BlockingIOError:
                self._wait(selectors.EVENT_WRITE, deadline, seconds)
            except OSError:
                raise Died(self._how_it_died()) from None

    def _receive(self, deadline: float, seconds: float) -> dict[str, Any]:
        try:
            head = self._read(wire.HEAD.size, deadline, seconds)
            frame = self._read(len(head) + sum(wire.lengths(head)), deadline, seconds)
            del self._ahead[: len(frame)]
            value = wire.decode(frame)
        except wire.WireError as error:
            raise self._stop(f"the candidate sent something that is no answer ({error})") from None
        if not isinstance(value, dict):
            raise self._stop("the candidate sent something that is no answer")
        return value

    def _read(self, size: int, deadline: float, seconds: float) -> bytearray:
        """The first bytes of what is ahead, when as many have come."""
        while len(self._ahead) < size:
            try:
                part = self.channel.recv(1 << 16)
            except BlockingIOError:
                self._wait(selectors.EVENT_READ, deadline, seconds)
                continue
            except OSError:
                part = b""
            if not part:
                raise Died(self._how_it_died())
            self._ahead += part
        return self._ahead[:size]

    def _wait(self, event: int, deadline: float, seconds: float) -> None:
        """Until the channel is ready; drains the candidate's output meanwhile, or it would wait for us."""
        selector = self._watching(event)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._stop(f"stopped after {seconds:g} s")
            ready = [key.fileobj for key, _ in selector.select(left)]
            if self.channel in ready:
                return
            if ready and not self.output.drain() and self.output.descriptor is not None:
                selector.unregister(self.output.descriptor)

    def _watching(self, event: int) -> selectors.BaseSelector:
        """One selector for all waits: to make one takes longer than most waits."""
        if self._selector is None:
            self._selector = selectors.DefaultSelector()
            self._selector.register(self.channel, event)
            if self.output.descriptor is not None:
                self._selector.register(self.output.descriptor, selectors.EVENT_READ)
        elif self._selector.get_key(self.channel).events != event:
            self._selector.modify(self.channel, event)
        return self._selector

    def _stop(self, text: str) -> Stopped:
        self.end()
        return Stopped(text)

    def _how_it_died(self) -> str:
        code = self.end()
        if code == -signal.SIGABRT:
            return "the process aborted (SIGABRT)"
        if code < 0 and code != -getattr(signal, "SIGKILL", 9):
            return f"the process died of {signal.Signals(-code).name}"
        return f"the process ended itself with status {code}" if code >= 0 else "the process was killed"
