"""The learner's file as a test sees it: its functions and layers, which are a process away.

A test calls `learner.causal_mask(3, 5)`; what that does is asked of the candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from grading.candidate.connection import Connection, arguments_after
from grading.candidate.given import GivenClass
from grading.candidate.pending import Pending
from grading.candidate.wording import arguments, cache_name, describe_value, failure_of, odd_ones
from grading.catalog import ROOT
from grading.records import CheckFailed, Failure


class Learner(Connection):
    """The learner's file. Its symbols are attributes: `learner.causal_mask(3, 5)`."""

    def __getattr__(self, symbol: str) -> Function | LayerFactory | GivenClass:
        if symbol in self.kata.given:
            return GivenClass(self, symbol)
        if symbol not in self.kata.symbols:
            raise AttributeError(symbol)
        return LayerFactory(self, symbol) if symbol[0].isupper() else Function(self, symbol)

    def decode(self, steps: Sequence[tuple[Layer, Tensor, int | None]]) -> Pending:
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


@dataclass(frozen=True)
class Backward:
    """What backward gave: the output, and the gradients of the inputs (in order, those in a tuple one by one) and of
    the parameters."""

    output: Any
    inputs: list[Any]
    parameters: dict[str, Any]


class _Callable:
    def __init__(
        self,
        learner: Learner,
        symbol: str,
        layer: int | None,
        shown: str,
        parameters: tuple[str, ...],
        method: str = "",
    ) -> None:
        self._learner = learner
        self.symbol = symbol
        self.number = layer
        self._shown = shown
        self._parameters = parameters
        self._method = method

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The value that the learner's code returns."""
        return self.ahead(*args, **kwargs).wait()

    def ahead(self, *args: Any, **kwargs: Any) -> Pending:
        """The same value without waiting for it: a check takes the answer in its place."""
        return self._ahead(args, kwargs).reading(lambda reply: self._something(reply["value"]))

    def _something(self, value: Any) -> Any:
        """The value, unless there is none."""
        if value is None:
            name = self._method or (self.symbol if self.number is None else "forward")
            raise self._learner.failed(f"{name} returned None", "", "")
        return value

    def echo(self, *args: Any, **kwargs: Any) -> tuple[Any, list[Any], dict[str, Any]]:
        """The value, and the arguments as they are over there after the call."""
        reply = self._ahead(args, kwargs, echo=True).wait()
        after_args, after_kwargs = reply["echo"]
        return reply["value"], after_args, after_kwargs

    def effect(self, *args: Any, **kwargs: Any) -> Pending:
        """What a call that works in place makes of its arguments: an answer, a list. What it returns does not count."""
        asked = self._ahead(args, kwargs, echo=True, effect=True)
        return asked.reading(arguments_after)

    def changes(self, *args: Any) -> list[str]:
        """What a call leaves otherwise than it found it, apart from its arguments: parameters, PyTorch's settings."""
        changed: list[str] = self._ahead(args, {}, watch=True).wait()["changed"]
        return changed

    def several(self, *calls: tuple[Any, ...], reuse: bool = False, spoil: bool = False) -> Pending:
        """The values of calls in a row, looked at after the last.

        Args:
            reuse: write the arguments of each call into the memory of the first one's, as a loop with buffers does.
            spoil: write over the memory of each value before the next call, as a caller may to whom it belongs.
        """
        how = "in the same memory" if reuse else "in a row"
        return self._several(calls, how, reuse=reuse, spoil=spoil).reading(lambda reply: reply["value"])

    def in_turn(self, first: Any, *calls: tuple[Any, ...]) -> Pending:
        """The values of calls of which each gets, in front of its own arguments, what the call before returned: an
        answer, an iterator that raises where one of them did.

        Args:
            first: what the first call gets there.
        """
        return self._several([(first, *calls[0]), *calls[1:]], "in turn", turn=True).reading(self._until_broken)

    def _until_broken(self, reply: dict[str, Any]) -> Iterator[Any]:
        for number, value in enumerate(reply["value"], start=1):
            reply["looked"] = number  # the transcript tells how far the check came
            yield value
        reply.pop("looked", None)
        if "broke" in reply:
            raise CheckFailed(failure_of(reply["broke"], self._learner.call))

    def _several(self, calls: Sequence[tuple[Any, ...]], how: str, **options: bool) -> Pending:
        request = {"do": "several", "layer": self.number, "symbol": self.symbol, "calls": list(calls), **options}
        return self._ask(request, lambda: f"{self._call(calls[0], {})}, {len(calls)} calls {how}")

    def backward(self, cotangent: Any, *args: Any, leaves: bool | list[bool] = True, **kwargs: Any) -> Pending:
        """The gradients of (output * cotangent).sum(): an answer, a Backward.

        Args:
            cotangent: a tensor, of the first output where there are several; or a tuple with one for each of them,
                whose sums are added.
            leaves: whether the inputs want gradients, all of them or one by one; the parameters do in any case.
        """
        asked = self._ahead(args, kwargs, cotangent=cotangent, leaves=leaves)
        return asked.reading(lambda reply: Backward(reply["value"], reply["input_grads"], reply["parameter_grads"]))

    def flops(self, *args: Any, **kwargs: Any) -> int:
        """The FLOPs of the matrix products in a call."""
        return int(self._ahead(args, kwargs, meter=True).wait()["flops"])

    def peak(self, *args: Any) -> int:
        """The most bytes that a call holds at a time in inference, without its arguments, which may come expanded."""
        request = {"do": "peak", "layer": self.number, "symbol": self.symbol, "args": list(args)}
        return int(self._ask(request, lambda: self._call(args, {})).wait()["peak"])

    def _ahead(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        **options: Any,
    ) -> Pending:
        request: dict[str, Any] = {"do": "call", "layer": self.number, "symbol": self.symbol}
        request |= {"method": self._method} if self._method else {}
        same = [next(i for i, other in enumerate(args) if other is arg) for arg in args]
        request |= {"args": list(args), "same": same, "kwargs": kwargs, **options}
        return self._ask(request, lambda: self._call(args, kwargs))

    def _ask(self, request: dict[str, Any], call: Callable[[], str]) -> Pending:
        return self._learner.ask(request, call, self.symbol)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        return self._shown + arguments(self._parameters, args, kwargs)


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
        """A layer, made over there. An error in making it is raised when `parameters` or an output is asked for."""
        names = self._learner.kata.signatures[f"{self.symbol}.__init__"]
        made = self.symbol + arguments(names, args, kwargs)
        number = next(self._learner.numbers)
        request = {"do": "make", "layer": number, "symbol": self.symbol, "args": list(args), "kwargs": kwargs}
        return Layer(self._learner, self.symbol, number, made, self._learner.ask(request, lambda: made, self.symbol))


class Layer(_Callable):
    """A layer of the learner's."""

    def __init__(self, learner: Learner, symbol: str, number: int, made: str, asked: Pending) -> None:
        super().__init__(learner, symbol, number, made, learner.kata.signatures[f"{symbol}.forward"])
        self.made = made
        self._shapes = asked.reading(_shapes)

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of its parameters."""
        shapes: dict[str, tuple[int, ...]] = self._shapes.wait()
        return shapes

    def method(self, name: str) -> _Callable:
        """Another method of the layer than forward."""
        parameters = self._learner.kata.signatures[f"{self.symbol}.{name}"]
        return _Callable(self._learner, self.symbol, self.number, f"{self.made}.{name}", parameters, name)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
        """Its parameters as they are, and the gradients that the last call left in them."""
        request = {"do": "state", "layer": self.number}
        reply = self._learner.ask(request, lambda: f"the parameters of {self.made}", self.symbol).wait()
        return reply["value"], reply["grads"]

    def set(
        self,
        weights: Mapping[str, Tensor],
        dtype: torch.dtype = torch.float64,
        training: bool = False,
        grad: bool | None = None,
    ) -> Layer:
        """Copy weights into the parameters of the same names; CheckFailed where a layer has others.

        Args:
            grad: whether calls record gradients; None: as usual, in training they do and in evaluation not.
        """
        wanted = {name: tuple(weight.shape) for name, weight in weights.items()}
        self._shapes.then(lambda shapes: self._compare(shapes, wanted))
        assert self.number is not None
        grad = training if grad is None else grad
        modes = {"dtype": dtype, "training": training, "grad": grad}
        modes |= {"seed": next(self._learner.seeds)} if training else {}  # with it the diagnosis drops the same
        self._learner.ask_first({"do": "set", "layer": self.number, "weights": dict(weights), **modes})
        return self

    def _compare(self, shapes: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]) -> None:
        if shapes != wanted:
            message = "the layers have other parameters than the contract lists"
            raise self._learner.failed(message, odd_ones(wanted, shapes), odd_ones(shapes, wanted))


def _shapes(made: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in made["value"].items()}
