"""The candidate in the examiner's own process, for --debug: nothing is refused or limited, and a debugger can stop it.

It stops once, in the request that it was armed for. Otherwise breakpoint() does nothing, and prints are kept.
"""

from __future__ import annotations

import ast
import contextlib
import io
import pdb
import sys
import types
from collections import deque
from typing import Any

from grading.candidate import wire
from grading.candidate.session import Session

CALLS = ("call", "several", "decode", "peak")


class Debugger(pdb.Pdb):
    """pdb in the learner's file only. q, Ctrl-C and Ctrl-D end the run; pdb's own would come back at the next call."""

    def __init__(self, file: str) -> None:
        super().__init__(nosigint=True)
        self.prompt = "(debug) "
        self.file = file
        self.stopped = False
        self.left = False

    def stop_here(self, frame: types.FrameType) -> bool:
        """Not in PyTorch, and not in the grader."""
        return frame.f_code.co_filename == self.file and bool(super().stop_here(frame))

    def user_call(self, frame: types.FrameType, argument_list: Any) -> None:
        """Not at the line with def: the first line of the body comes next."""

    def interaction(self, frame: Any, *rest: Any) -> None:
        if not self.stopped:
            self.stopped = True
            for name, value in frame.f_locals.items():
                plain = value is None or isinstance(value, bool | int | float | str)
                self.message(f"  {name}: {value!r:.60}" if plain else f"  {name}: {wire.describe(value)}")
        super().interaction(frame, *rest)

    def canonic(self, filename: str) -> str:
        """The learner's file has no path here, only its text."""
        return filename if filename == self.file else super().canonic(filename)

    def _cmdloop(self) -> None:
        try:
            self.cmdloop()
        except KeyboardInterrupt:
            self.set_quit()

    def set_quit(self) -> None:
        self.left = True
        super().set_quit()


class InProcess:
    """One candidate; `armed` says which requests the debugger stops in."""

    fences: tuple[str, ...] = ()

    def __init__(self, host: DebugHost) -> None:
        self.session = Session([], strict=False)
        self.replies: deque[bytes] = deque()
        self._host = host
        self._output = io.StringIO()

    def send(self, frame: bytes, seconds: float) -> None:
        request = wire.decode(frame, request=True)
        assert isinstance(request, dict)
        request["seconds"] = 0.0  # whoever is at a debugger takes their time
        reply = self._debugged(request) if self._host.armed else self._quiet(request)
        if self._host.left or reply.get("error", {}).get("type") == "KeyboardInterrupt":
            raise KeyboardInterrupt
        self.replies.append(wire.encode({**reply, "id": request["id"]}))

    def _quiet(self, request: dict[str, Any]) -> dict[str, Any]:
        with contextlib.redirect_stdout(self._output), contextlib.redirect_stderr(self._output):
            return self.session.answer(request)

    def _debugged(self, request: dict[str, Any]) -> dict[str, Any]:
        host = self._host
        if request["do"] not in host.armed or host.stopped:
            return self._quiet(request)
        debugger = host.debugger = host.debugger or Debugger(self.session.file)
        if _has_breakpoint(self.session.tree):
            return self.session.answer(request)
        return debugger.runcall(self.session.answer, request) or {}  # nothing where it was left

    def receive(self, seconds: float) -> dict[str, Any]:
        reply = wire.decode(self.replies.popleft())
        assert isinstance(reply, dict)
        return reply

    def printed(self) -> str:
        output = self._output.getvalue()
        self._output.seek(0)
        self._output.truncate()
        return output

    def close(self) -> None:
        pass


def _has_breakpoint(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "breakpoint" for node in ast.walk(tree))


class DebugHost:
    """Candidates for --debug. `armed` are the requests that the debugger stops in; none at first."""

    def __init__(self) -> None:
        self.armed: tuple[str, ...] = ()
        self.debugger: Debugger | None = None
        self._hook, sys.breakpointhook = sys.breakpointhook, self._breakpoint

    @property
    def stopped(self) -> bool:
        return self.debugger is not None and self.debugger.stopped

    @property
    def left(self) -> bool:
        return self.debugger is not None and self.debugger.left

    def _breakpoint(self, *_: Any, **__: Any) -> None:
        if self.armed and self.debugger and not self.debugger.stopped:
            self.debugger.set_trace(sys._getframe().f_back)

    def expect(self, count: int) -> None:
        pass

    def settle(self) -> None:
        pass

    def candidate(self) -> InProcess:
        return InProcess(self)

    def close(self) -> None:
        sys.breakpointhook = self._hook
