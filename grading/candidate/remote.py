"""What a test calls: looks like the learner's functions and layers, and is a process away.

Whatever goes wrong over there is raised here as CheckFailed, with the learner's own line.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grading.candidate.hosts import Host
from grading.candidate.limits import Limits
from grading.candidate.source import Unreadable, read
from grading.candidate.transport import Candidate, Died, Stopped
from grading.candidate.wire import Opaque, describe
from grading.catalog import ROOT, Kata
from grading.records import CheckFailed, Failure

MAX_LOSSES = 2


@dataclass(frozen=True)
class Backward:
    """What backward gave: the output, and the gradients of the inputs (in order) and of the parameters."""

    output: Any
    inputs: list[Any]
    parameters: dict[str, Any]


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
            self._lines = reply.get("lines", {})

    def ask(self, request: dict[str, Any], call: str, symbol: str) -> dict[str, Any]:
        """The reply to a request about a symbol; `call` is how a failure shows it."""
        if self.gone:
            raise CheckFailed(self.gone)
        self.load()
        self.call, self._symbol = call, symbol
        return self._exchange(request, call, min(self._limits.call_seconds, self._left))

    def decode(self, steps: Sequence[tuple[Layer, Tensor, int | None]]) -> tuple[list[Any], list[Any]]:
        """Run steps (layer, x, index of the earlier step whose cache goes in) without copying anything between them.

        Returns:
            the outputs, and the caches as they are after the last step.
        """
        call = " ; ".join(f"step {i}: x {tuple(x.shape)} on {_cache_name(p)}" for i, (_, x, p) in enumerate(steps))
        layer = steps[0][0]
        plan = [[each.number, x, parent] for each, x, parent in steps]
        reply = self.ask({"do": "decode", "steps": plan}, f"{layer.made} {call}", layer.symbol)
        if "odd" in reply:
            raise self.failed(
                "forward has to return (output, kv_cache)", "a tuple of two", describe_value(reply["odd"][1])
            )
        outputs, caches = reply["value"]
        return outputs, caches

    def failed(self, message: str, wanted: str = "", got: str = "", kind: str = "differs") -> CheckFailed:
        """A failure of the latest call."""
        return CheckFailed(Failure(message, wanted, got, self.call, self.line, kind))

    @property
    def line(self) -> int:
        """Where the function or forward method that was called last begins, 0 where that is not known."""
        return self._lines.get(self._symbol, 0)

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
        if reply.get("reached"):
            raise self._refused(reply)
        if "error" in reply:
            raise CheckFailed(_failure(reply["error"], self.call))
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
        line = error.get("line", 0) if error.get("kind") == "forbidden" else self.line
        message = f"{name} was called: it does what is to be written here"
        if error.get("kind") == "forbidden":
            message = str(error.get("message", message))
        return self._lost(Failure(message, call=self.call, line=line, kind="forbidden"))


class _Callable:
    def __init__(
        self, learner: Learner, symbol: str, layer: int | None, shown: str, parameters: tuple[str, ...]
    ) -> None:
        self._learner = learner
        self.symbol = symbol
        self.number = layer
        self._shown = shown
        self._parameters = parameters

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The value that the learner's code returns."""
        return self._ask(args, kwargs)["value"]

    def echo(self, *args: Any, **kwargs: Any) -> tuple[Any, list[Any], dict[str, Any]]:
        """The value, and the arguments as they are over there after the call."""
        reply = self._ask(args, kwargs, echo=True)
        after_args, after_kwargs = reply["echo"]
        return reply["value"], after_args, after_kwargs

    def backward(self, cotangent: Tensor, *args: Any, **kwargs: Any) -> Backward:
        """The gradients of (output * cotangent).sum()."""
        reply = self._ask(args, kwargs, cotangent=cotangent)
        return Backward(reply["value"], reply["input_grads"], reply["parameter_grads"])

    def flops(self, *args: Any, **kwargs: Any) -> int:
        """The FLOPs of the matrix products in a call."""
        return int(self._ask(args, kwargs, meter=True)["flops"])

    def _ask(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        cotangent: Tensor | None = None,
        echo: bool = False,
        meter: bool = False,
    ) -> dict[str, Any]:
        request: dict[str, Any] = {"do": "call", "layer": self.number, "symbol": self.symbol}
        request |= {"args": list(args), "kwargs": kwargs}
        request |= {"cotangent": cotangent, "echo": echo, "meter": meter}
        return self._learner.ask(request, self._shown + _arguments(self._parameters, args, kwargs), self.symbol)


class Function(_Callable):
    """A function of the learner's."""

    def __init__(self, learner: Learner, symbol: str) -> None:
        super().__init__(learner, symbol, None, symbol, learner.kata.signatures[symbol])


class LayerFactory:
    """A class of the learner's."""

    def __init__(self, learner: Learner, symbol: str) -> None:
        self._learner = learner
        self.symbol = symbol

    def __call__(self, *args: Any, **kwargs: Any) -> Layer:
        """A layer, made over there."""
        made = self.symbol + _arguments(self._learner.kata.signatures[f"{self.symbol}.__init__"], args, kwargs)
        request = {"do": "make", "symbol": self.symbol, "args": list(args), "kwargs": kwargs}
        reply = self._learner.ask(request, made, self.symbol)
        shapes = {name: tuple(shape) for name, shape in reply["parameters"].items()}
        return Layer(self._learner, self.symbol, reply["value"], made, shapes)


class Layer(_Callable):
    """A layer of the learner's. `parameters` are the names and shapes of its parameters."""

    def __init__(
        self, learner: Learner, symbol: str, number: int, made: str, parameters: dict[str, tuple[int, ...]]
    ) -> None:
        super().__init__(learner, symbol, number, made, learner.kata.signatures[f"{symbol}.forward"])
        self.made = made
        self.parameters = parameters

    def set(self, weights: Mapping[str, Tensor], dtype: torch.dtype = torch.float64, training: bool = False) -> Layer:
        """Copy weights into the parameters of the same names; CheckFailed where these are not the contract's."""
        wanted = {name: tuple(weight.shape) for name, weight in weights.items()}
        if self.parameters != wanted:
            raise self._learner.failed(
                "the layers do not have the contract's parameters",
                _shapes(wanted, self.parameters),
                _shapes(self.parameters, wanted),
            )
        request = {
            "do": "set",
            "layer": self.number,
            "weights": dict(weights),
            "dtype": dtype,
            "training": training,
        }
        self._learner.ask(request, self.made, self.symbol)
        return self


def describe_value(value: Any) -> str:
    """A value that came back, in a few words."""
    if isinstance(value, Opaque):
        return value.text
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)}"
    return describe(value) if value is not None else "None"


def _shapes(shapes: Mapping[str, tuple[int, ...]], other: Mapping[str, tuple[int, ...]]) -> str:
    """The entries that the other side lacks or has otherwise."""
    odd = [f"{name} {shape}" for name, shape in shapes.items() if other.get(name) != shape]
    return ", ".join(odd) or "no others"


def _arguments(names: tuple[str, ...], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    named = [*zip(names, args, strict=False), *kwargs.items()]
    return f"({', '.join(_argument(name, value) for name, value in named)})"


def _argument(name: str, value: Any) -> str:
    if isinstance(value, Tensor):
        half = value.dtype in (torch.float16, torch.bfloat16)
        return f"{name} {tuple(value.shape)}" + (f" {str(value.dtype).removeprefix('torch.')}" if half else "")
    if isinstance(value, tuple) and value and isinstance(value[0], Tensor):
        return f"{name} 2 x {tuple(value[0].shape)}"
    return f"{name}={value}"


def _cache_name(parent: int | None) -> str:
    return "no cache" if parent is None else f"the cache of step {parent}"


def _failure(error: dict[str, Any], call: str) -> Failure:
    """An error that the candidate reported. Its words are the learner's: bounded, and one line."""
    kind = error.get("kind") if error.get("kind") in ("raised", "unwritten", "forbidden", "load") else "raised"
    text = " ".join(str(error.get("message", "")).split())[:300]
    name = str(error.get("type", ""))[:100]
    message = text if kind in ("load", "forbidden") else f"{name}: {text}" if text else name
    tensors = error.get("tensors")
    shapes = ", ".join(f"{k} {v}" for k, v in tensors.items()) if isinstance(tensors, dict) else ""
    source = str(error.get("text", ""))[:100]
    got = f"{source}    with {shapes}" if source and shapes else source
    line = error.get("line")
    bases = error.get("bases")
    failure = Failure(message, "", got, call, line if isinstance(line, int) else 0, str(kind))
    return Raised(**failure.__dict__, bases=tuple(map(str, bases)) if isinstance(bases, list) else ())


@dataclass(frozen=True)
class Raised(Failure):
    """A failure that is an exception; `bases` are the names of its classes, the most derived first."""

    bases: tuple[str, ...] = ()
