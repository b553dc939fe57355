"""The fork server: a process that has PyTorch and nothing else in it, and forks a candidate at each request.

It is forked from the examiner before anything secret is loaded there. No solution, test, expected value or seed ever
gets into it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import torch

from grading.candidate import audit, limits, sandbox, wire
from grading.candidate.forbidden import poison
from grading.candidate.session import Session

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
REQUEST = struct.Struct("!cI")
REPLY = struct.Struct("!II")
MOST_DESCRIPTORS = 4096


def serve(control: socket.socket, workplace: str) -> None:
    """Serve until the examiner goes away. Requests: b"s" fork a candidate, b"k" kill the one with that pid.

    Args:
        control: a Unix socket; b"s" comes with two descriptors, the candidate's socket and the pipe for its output.
        workplace: an empty folder, where candidates start.
    """
    os.setsid()
    _let_go_of_all_but(control.fileno())
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_DUMPABLE, 0)
    ledger: list[str] = []
    prepare(ledger)
    live: set[int] = set()
    for verb, pid, descriptors in _requests(control):
        if verb == b"s":
            live.add(pid := _fork(control, descriptors, workplace, ledger))
            control.sendall(REPLY.pack(pid, 0))
        else:
            control.sendall(REPLY.pack(pid, _kill(pid)))
            live.discard(pid)
            _sweep(live)
    for pid in live:
        _kill(pid)
    _sweep(set())
    os._exit(0)


def _let_go_of_all_but(kept: int) -> None:
    """Close what the examiner has open besides. An earlier fork server, above all, sees its examiner go away only where
    nobody else holds the other end of its socket."""
    gc.freeze()  # an object of the examiner's that is freed in here would close a number that is another's by then
    os.closerange(3, kept)
    os.closerange(kept + 1, MOST_DESCRIPTORS)


def _requests(control: socket.socket) -> Iterator[tuple[bytes, int, list[int]]]:
    """Until the examiner goes away."""
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(control, REQUEST.size, 2)
        except OSError:
            return
        if len(message) != REQUEST.size:
            return
        verb, pid = REQUEST.unpack(message)
        yield verb, pid, descriptors


def prepare(ledger: list[str]) -> None:
    """What a process needs before a learner's code runs in it: forbidden functions refused, PyTorch warm."""
    torch.set_num_threads(1)
    poison(ledger.append)
    x = torch.ones(1, 2, 2)
    torch.nn.Linear(2, 2)(x @ x).softmax(-1).masked_fill(x > 1, 0.0).sum()


def _fork(control: socket.socket, descriptors: list[int], workplace: str, ledger: list[str]) -> int:
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        return pid
    try:
        control.close()
        channel, output = descriptors
        _enter(channel, output, workplace)
        work(socket.socket(fileno=3), ledger, limits.Limits())
    finally:
        os._exit(70)


def _enter(channel: int, output: int, workplace: str) -> None:
    """Become a candidate: a session of its own, no descriptors but its own, no environment, an empty folder."""
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    null = os.open(os.devnull, os.O_RDONLY)
    channel, output, null = (_above(descriptor) for descriptor in (channel, output, null))
    for target, source in ((0, null), (1, output), (2, output), (3, channel)):
        os.dup2(source, target)
    os.closerange(4, MOST_DESCRIPTORS)
    os.environ.clear()
    os.chdir(workplace)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdin = open(0, closefd=False)
    sys.stdout, sys.stderr = _stream(1), _stream(2)


def _stream(descriptor: int) -> TextIO:
    """Printing to it line by line, so that nothing is lost when the process is killed."""
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _above(descriptor: int) -> int:
    """A copy of it that is in nobody's way below 10."""
    import fcntl  # not on Windows, where nothing is forked

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10)


def confine(bounds: limits.Limits) -> tuple[str, ...]:
    """Every fence that this system has, applied to this process: limits, kernel, interpreter."""
    active = limits.apply(bounds) + sandbox.confine()
    audit.install((sys.prefix, sys.base_prefix))
    return (*active, "audit")


def work(channel: socket.socket, ledger: list[str], bounds: limits.Limits) -> None:
    """A candidate's life: say which fences hold, then answer requests until the examiner goes away."""
    session = Session(ledger)
    _write(channel, {"fences": list(confine(bounds))})
    while True:
        request = wire.decode(_read(channel), request=True)
        reply = session.answer(request)
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)
        _write(channel, {**reply, "id": request["id"]})


def _flush(stream: object) -> None:
    try:
        stream.flush()  # type: ignore[attr-defined]
    except BaseException:
        pass  # a learner may have replaced or closed it


def _write(channel: socket.socket, reply: dict[str, object]) -> None:
    try:
        frame = wire.encode(reply)
    except Exception as error:
        text = f"what was returned cannot be sent: {type(error).__name__}"
        frame = wire.encode({"id": reply.get("id"), "error": {"kind": "raised", "type": "", "message": text}})
    channel.sendall(frame)


def _read(channel: socket.socket) -> bytearray:
    """The next frame, written once to where it is read from: some are large."""
    head = bytearray(wire.HEAD.size)
    _fill(channel, memoryview(head))
    frame = bytearray(len(head) + sum(wire.lengths(head)))
    frame[: len(head)] = head
    _fill(channel, memoryview(frame)[len(head) :])
    return frame


def _fill(channel: socket.socket, room: memoryview) -> None:
    while room:
        size = channel.recv_into(room)
        if not size:
            os._exit(0)
        room = room[size:]


def _kill(pid: int) -> int:
    """Kill a candidate and its group; its wait status, or 0 when it is no child of ours."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except OSError:
            pass
    try:
        return os.waitpid(pid, 0)[1]
    except ChildProcessError:
        return 0


def _sweep(live: set[int]) -> None:
    """Kill what candidates left behind: orphans come to this process, their subreaper, as its own children."""
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    for _ in range(50):
        try:
            left = {int(pid) for pid in listing.read_text().split()} - live
        except OSError:
            return
        if not left:
            return
        for pid in left:
            _kill(pid)


def prctl(option: int, value: int) -> None:
    """Linux's prctl with one value; nothing elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def spawned(port: int, token: str, workplace: str) -> None:
    """A candidate in a fresh process, for systems that cannot fork: connects to the examiner on loopback."""
    channel = socket.create_connection(("127.0.0.1", port))
    channel.sendall(token.encode())
    ledger: list[str] = []
    prepare(ledger)
    sys.path.pop(0)
    sys.stdout = sys.stderr = _stream(1)
    for name in set(os.environ) - {"SYSTEMROOT"}:
        del os.environ[name]
    os.chdir(workplace)
    work(channel, ledger, limits.Limits(file_bytes=1 << 20))  # what it prints goes to a file
