"""The learner's functions and layers, as a test calls them; what they do is asked of the candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from grading.candidate.wording import arguments, odd_ones

if TYPE_CHECKING:
    from grading.candidate.remote import Learner


@dataclass(frozen=True)
class Backward:
    """What backward gave: the output, and the gradients of the inputs (in order) and of the parameters."""

    output: Any
    inputs: list[Any]
    parameters: dict[str, Any]


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
        same = [next(i for i, other in enumerate(args) if other is arg) for arg in args]
        request |= {"args": list(args), "same": same, "kwargs": kwargs}
        request |= {"cotangent": cotangent, "echo": echo, "meter": meter}
        return self._learner.ask(request, self._shown + arguments(self._parameters, args, kwargs), self.symbol)


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
        made = self.symbol + arguments(self._learner.kata.signatures[f"{self.symbol}.__init__"], args, kwargs)
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
                odd_ones(wanted, self.parameters),
                odd_ones(self.parameters, wanted),
            )
        assert self.number is not None
        self._learner.set_first(self.number, weights, dtype, training)
        return self

    def peak(self, *args: Any) -> int:
        """The most bytes that a call holds at a time in inference, without its arguments, which may come expanded."""
        request = {"do": "peak", "layer": self.number, "args": list(args)}
        shown = self._shown + arguments(self._parameters, args, {})
        return int(self._learner.ask(request, shown, self.symbol)["peak"])
