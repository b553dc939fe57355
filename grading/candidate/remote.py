"""The learner's file, as a test sees it: a process away.

Whatever goes wrong over there is raised here as CheckFailed, with the learner's own line.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grading.candidate.callables import Function, Layer, LayerFactory
from grading.candidate.hosts import Host
from grading.candidate.limits import Limits
from grading.candidate.source import Unreadable, read
from grading.candidate.transport import Candidate, Died, Stopped
from grading.candidate.wording import cache_name, describe_value, failure_of
from grading.catalog import ROOT, Kata
from grading.records import CheckFailed, Failure

MAX_LOSSES = 2


class Learner:
    """The learner's file. Its symbols are attributes: `learner.causal_mask(3, 5)`."""

    def __init__(self, kata: Kata, path: Path, host: Host, limits: Limits) -> None:
        self.kata = kata
        self.path = path
        self.call = ""
        self.layers: tuple[str, ...] = ()
        self._host = host
        self._limits = limits
        self._candidate: Candidate | None = None
        self._lines: dict[str, int] = {}
        self._symbol = ""
        self.gone: Failure | None = None
        self._losses = 0
        self._first: list[dict[str, Any]] = []
        self._last_words = ""
        self._left = limits.kata_seconds

    def __getattr__(self, symbol: str) -> Function | LayerFactory:
        if symbol not in self.kata.symbols:
            raise AttributeError(symbol)
        return LayerFactory(self, symbol) if symbol[0].isupper() else Function(self, symbol)

    def load(self) -> None:
        """Have the file loaded; CheckFailed of kind "load", "forbidden", "stopped" or "died" where it cannot be."""
        if self._candidate is None:
            try:
                source = read(self.path, self._limits.source_bytes)
            except Unreadable as error:
                raise CheckFailed(Failure(str(error), kind="load")) from None
            self._candidate = self._host.candidate()
            self.layers = self._candidate.layers
            request = {"do": "load", "source": source, "file": self.path.name, "symbols": list(self.kata.symbols)}
            reply = self._exchange(request, "loading the file", self._limits.load_seconds)
            lines = reply.get("lines")
            self._lines = lines if isinstance(lines, dict) else {}

    def ask(self, request: dict[str, Any], call: str, symbol: str) -> dict[str, Any]:
        """The reply to a request about a symbol; `call` is how a failure shows it."""
        if self.gone:
            raise CheckFailed(self.gone)
        self.load()
        self.call, self._symbol = call, symbol
        if self._first:
            request, self._first = {**request, "first": self._first}, []
        return self._exchange(request, call, min(self._limits.call_seconds, self._left))

    def set_first(self, layer: int, weights: Mapping[str, Tensor], dtype: torch.dtype, training: bool) -> None:
        """Have the next request copy those weights before anything else: it saves a round trip."""
        self._first.append({"layer": layer, "weights": dict(weights), "dtype": dtype, "training": training})

    def decode(self, steps: Sequence[tuple[Layer, Tensor, int | None]]) -> tuple[list[Any], list[Any]]:
        """Run steps (layer, x, index of the earlier step whose cache goes in) without copying anything between them.

        Returns:
            the outputs, and the caches as they are after the last step.
        """
        call = " ; ".join(f"step {i}: x {tuple(x.shape)} on {cache_name(p)}" for i, (_, x, p) in enumerate(steps))
        layer = steps[0][0]
        plan = [[each.number, x, parent] for each, x, parent in steps]
        reply = self.ask({"do": "decode", "steps": plan}, f"{layer.made} {call}", layer.symbol)
        if "odd" in reply:
            raise self.failed(
                "forward has to return (output, kv_cache)", "a tuple of two", describe_value(reply["odd"][1])
            )
        outputs, caches = reply["value"]
        return outputs, caches

    def failed(self, message: str, wanted: str, got: str) -> CheckFailed:
        """A failure of the latest call."""
        return CheckFailed(Failure(message, wanted, got, self.call, self.line))

    @property
    def line(self) -> int:
        """Where the function or forward method that was called last begins, 0 where that is not known."""
        line = self._lines.get(self._symbol)
        return line if isinstance(line, int) else 0

    def where(self, line: int) -> str:
        """That line of the file, as a learner names it: problems/gqa.py:31."""
        path = self.path.resolve()
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        return f"{shown}:{line}" if line else str(shown)

    def printed(self) -> str:
        """What the learner's code printed since this was last asked."""
        words, self._last_words = self._last_words, ""
        return words + (self._candidate.printed() if self._candidate else "")

    def close(self) -> None:
        self._first = []
        if self._candidate:
            self._candidate.close()
            self._candidate = None

    def _exchange(self, request: dict[str, Any], call: str, seconds: float) -> dict[str, Any]:
        assert self._candidate is not None
        began = time.monotonic()
        try:
            reply = self._candidate.ask(request, max(seconds, 0.1))
        except Stopped as error:
            raise self._lost(Failure(f"{error}: {call}", call=self.call, line=self.line, kind="stopped")) from None
        except Died as error:
            raise self._lost(Failure(f"{error}: {call}", call=self.call, line=self.line, kind="died")) from None
        finally:
            self._left -= time.monotonic() - began
        if not isinstance(reply.get("reached", []), list) or not isinstance(reply.get("error", {}), dict):
            raise self._lost(Failure("the candidate sent something that is no answer", call=self.call, kind="stopped"))
        if reply.get("reached"):
            raise self._refused(reply)
        if "error" in reply:
            raise CheckFailed(failure_of(reply["error"], self.call))
        return reply

    def _lost(self, failure: Failure) -> CheckFailed:
        """The candidate is of no more use. Another follows it, unless time is up or it happened too often."""
        self._losses += 1
        if failure.kind == "stopped" or self._losses > MAX_LOSSES:
            self.gone = Failure(f"not run: {failure.message}", kind="skipped")
        if self._candidate:
            self._last_words = self._candidate.printed()
        self.close()
        return CheckFailed(failure)

    def _refused(self, reply: dict[str, Any]) -> CheckFailed:
        """A forbidden function was reached, whether or not the learner's code caught the error."""
        name = str(reply["reached"][0])[:200]
        error = reply.get("error") or {}
        if error.get("kind") == "forbidden":
            return self._lost(failure_of(error, self.call))
        message = f"{name} was called: it does what is to be written here"
        return self._lost(Failure(message, call=self.call, line=self.line, kind="forbidden"))
