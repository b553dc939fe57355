"""The learner's file, as a test sees it: a process away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grading.answer import Answer
from grading.candidate.callables import Function, Layer, LayerFactory
from grading.candidate.exchange import Exchange
from grading.candidate.hosts import Host
from grading.candidate.limits import Limits
from grading.candidate.wording import cache_name, describe_value
from grading.catalog import ROOT, Kata
from grading.records import CheckFailed, Failure


class Learner(Exchange):
    """The learner's file. Its symbols are attributes: `learner.causal_mask(3, 5)`."""

    def __init__(self, kata: Kata, path: Path, host: Host, limits: Limits) -> None:
        super().__init__(kata, path, host, limits)
        self._layers = 0

    def __getattr__(self, symbol: str) -> Function | LayerFactory:
        if symbol not in self.kata.symbols:
            raise AttributeError(symbol)
        return LayerFactory(self, symbol) if symbol[0].isupper() else Function(self, symbol)

    def next_layer(self) -> int:
        """The number of a layer that is to be made."""
        self._layers += 1
        return self._layers

    def set_first(self, layer: int, weights: Mapping[str, Tensor], **modes: bool | torch.dtype) -> None:
        """Have the next request copy those weights before anything else: it saves a round trip."""
        self._first.append({"layer": layer, "weights": dict(weights), **modes})

    def decode(self, steps: Sequence[tuple[Layer, Tensor, int | None]]) -> Answer:
        """Run steps (layer, x, index of the earlier step whose cache goes in) without copying anything between them.

        Returns:
            an answer: the list of the outputs, and that of the caches as they are after the last step.
        """
        call = " ; ".join(f"step {i}: x {tuple(x.shape)} on {cache_name(p)}" for i, (_, x, p) in enumerate(steps))
        layer = steps[0][0]
        plan = [[each.number, x, parent] for each, x, parent in steps]
        asked = self.ask({"do": "decode", "steps": plan}, lambda: f"{layer.made} {call}", layer.symbol)
        return asked.reading(self._decoded)

    def _decoded(self, reply: dict[str, Any]) -> Any:
        if "odd" in reply:
            message = "forward has to return (output, kv_cache)"
            raise self.failed(message, "a tuple of two", describe_value(reply["odd"][1]))
        return reply["value"]

    def failed(self, message: str, wanted: str, got: str) -> CheckFailed:
        """A failure of the latest call."""
        return CheckFailed(Failure(message, wanted, got, self.call, self.line))

    def where(self, line: int) -> str:
        """That line of the file, as a learner names it: problems/gqa.py:31."""
        path = self.path.resolve()
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        return f"{shown}:{line}" if line else str(shown)
