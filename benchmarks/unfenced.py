"""A grader with some of its layers off, to see what each of them stops: benchmarks/watched.py watches the process.

All of it is done from here, in a process that grades hostile files in a copy of the repository and nothing else. The
grader itself has no switch for it, and so nobody who answers or grades can reach one.
"""

from __future__ import annotations

import functools
import json
import os
import pickle
import resource
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from grading.authoring.submissions import header
from grading.candidate import audit, limits, sandbox, server, wire
from grading.candidate.hosts import host
from grading.candidate.limits import MIB, Limits
from grading.candidate.session import Session

# Smaller than a grade has them: what would pass them gets there sooner.
LIMITS = Limits(call_seconds=1.5, load_seconds=2.0, kata_seconds=25.0, memory_bytes=256 * MIB)
ENDLESS = {"call_seconds": 1e6, "load_seconds": 1e6, "kata_seconds": 1e6}
# The guard of the benchmark itself, above what the grader's limits allow and far below what would hurt a machine.
MEMORY_GUARD, OPEN_FILES_GUARD = 1280 * MIB, 1024
SEED = 5
PICKLED = b"pick"


def grade(off: frozenset[str], files: Iterable[Path], say: Callable[[dict[str, Any]], None], go: int) -> None:
    """Grade files one by one without those layers: each is announced, and the next waits for a byte from `go`."""
    take_off(off)
    bounds = replace(LIMITS, **ENDLESS) if "deadlines" in off else LIMITS
    candidates = InsideHost("rules" not in off) if "process" in off else host(bounds)
    from grading.examination.examination import Examination
    from grading.examination.examiner import run

    for path in files:
        stem = header(path, "kata", path.stem)
        say({"begin": path.stem, "server": getattr(candidates, "pid", os.getpid())})
        examination = Examination(candidates, path, SEED, bounds, until_wrong=True)
        try:
            run([stem], examination)
        finally:
            examination.close()
            candidates.settle()
        say({"end": path.stem, "outcome": outcome(stem, examination)})
        os.read(go, 1)


def outcome(stem: str, examination: Any) -> str:
    """What an examination, which ends at the first failure, came to; a fault of the engine is no verdict."""
    if stem in examination.faults:
        return f"fault: {examination.faults[stem].message}"
    if stem in examination.unloaded:
        return "broken"
    checks = examination.checks.get(stem, [])
    whole = len(checks) == examination.expected[stem] > 0
    return "passed" if whole and all(check.outcome == "passed" for check in checks) else "failed"


def guard() -> None:
    """Bind this process and all below it: memory, files, no core dumps. Nothing that a grade needs is bound."""
    sizes = limits._sizes_in_kib()
    for kind, value in (
        (resource.RLIMIT_DATA, sizes["VmData"] * 1024 + MEMORY_GUARD),
        (resource.RLIMIT_AS, sizes["VmSize"] * 1024 + 2 * MEMORY_GUARD),
        (resource.RLIMIT_NOFILE, OPEN_FILES_GUARD),
        (resource.RLIMIT_FSIZE, 64 * MIB),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


# ------------------------------------------------------------------------------------------------- layers off


def take_off(off: frozenset[str]) -> None:
    """Change this process, and what it forks, so that those layers are not there."""
    stand_ins: dict[str, tuple[Any, str, Any]] = {
        "limits": (limits, "apply", lambda bounds: ()),
        "landlock": (sandbox, "_landlock", lambda syscall: False),
        "seccomp": (sandbox, "_seccomp", lambda syscall: False),
        "audit": (audit, "install", lambda roots: None),
        "rules": (server, "Session", functools.partial(Session, strict=False)),
        "forbidden": (server, "poison", lambda record: None),
    }
    changes = [(limits, "Limits", lambda: LIMITS), *(stand_ins[layer] for layer in off & stand_ins.keys())]
    for module, name, stand_in in changes:
        setattr(module, name, stand_in)
    if "wire" in off:
        trust_pickles()


def trust_pickles() -> None:
    """Answers as pickles, as many a grader has them, in frames of any size; what has none stays a description."""
    plain_encode, plain_decode = wire.encode, wire.decode

    def encode(value: Any, request: bool = False) -> bytes:
        if request:
            return plain_encode(value, request=True)
        try:
            body = pickle.dumps(value)
        except Exception:
            return plain_encode(value)
        return wire.HEAD.pack(PICKLED, 0, len(body)) + body

    def decode(frame: bytes, request: bool = False) -> Any:
        return pickle.loads(frame[wire.HEAD.size :]) if frame.startswith(PICKLED) else plain_decode(frame, request)

    def lengths(head: bytes) -> tuple[int, int]:
        _, skeleton, body = wire.HEAD.unpack(head)
        return skeleton, body

    for name, stand_in in (("encode", encode), ("decode", decode), ("lengths", lengths)):
        setattr(wire, name, stand_in)


class InsideHost:
    """Candidates in the examiner's own process, as where pytest imports what it tests."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict

    def expect(self, count: int) -> None:
        pass

    def candidate(self) -> Inside:
        return Inside(Session([], self.strict))

    def settle(self) -> None:
        pass

    def close(self) -> None:
        pass


class Inside:
    """One candidate: it answers while it is asked."""

    fences: tuple[str, ...] = ()

    def __init__(self, session: Session) -> None:
        self.session = session
        self.replies: deque[bytes] = deque()

    def send(self, frame: bytes, seconds: float) -> None:
        request = wire.decode(frame, request=True)
        self.replies.append(wire.encode({**self.session.answer(request), "id": request["id"]}))

    def receive(self, seconds: float) -> dict[str, Any]:
        reply: dict[str, Any] = wire.decode(self.replies.popleft())
        return reply

    def printed(self) -> str:
        return ""

    def close(self) -> None:
        pass


def adopt() -> None:
    """Orphans of processes below this one become its own children, so that it can end them."""
    server.prctl(server.PR_SET_CHILD_SUBREAPER, 1)


def absent() -> frozenset[str]:
    """The layers that this system does not have."""
    candidates = host(LIMITS)
    candidate = candidates.candidate()
    candidate.close()
    candidates.settle()
    candidates.close()
    return frozenset({"landlock", "seccomp"}) - set(candidate.fences)


def speaking(descriptor: int, token: bytes) -> Callable[[dict[str, Any]], None]:
    """Lines of JSON on a descriptor, each with the token before it: what else is written there is not ours."""

    def say(what: dict[str, Any]) -> None:
        os.write(descriptor, token + json.dumps(what).encode() + b"\n")

    return say
