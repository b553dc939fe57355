"""The learner's functions and layers, as a test calls them; what they do is asked of the candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from grading.answer import Answer
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
        return self.ahead(*args, **kwargs).wait()

    def ahead(self, *args: Any, **kwargs: Any) -> Answer:
        """The same value without waiting for it: a check takes the answer in its place."""
        return self._ahead(args, kwargs).reading(lambda reply: reply["value"])

    def echo(self, *args: Any, **kwargs: Any) -> tuple[Any, list[Any], dict[str, Any]]:
        """The value, and the arguments as they are over there after the call."""
        reply = self._ahead(args, kwargs, echo=True).wait()
        after_args, after_kwargs = reply["echo"]
        return reply["value"], after_args, after_kwargs

    def several(self, *calls: tuple[Any, ...], reuse: bool = False) -> Answer:
        """The values of calls in a row, looked at after the last.

        Args:
            reuse: write the arguments of each call into the memory of the first one's, as a loop with buffers does.
        """
        request = {"do": "several", "layer": self.number, "symbol": self.symbol, "calls": list(calls), "reuse": reuse}
        how = "in the same memory" if reuse else "in a row"
        asked = self._learner.ask(request, lambda: f"{self._call(calls[0], {})}, {len(calls)} calls {how}", self.symbol)
        return asked.reading(lambda reply: reply["value"])

    def backward(self, cotangent: Tensor, *args: Any, leaves: bool = True, **kwargs: Any) -> Answer:
        """The gradients of (output * cotangent).sum(): an answer, a Backward.

        Args:
            leaves: whether the inputs want gradients; the parameters do in any case.
        """
        asked = self._ahead(args, kwargs, cotangent=cotangent, leaves=leaves)
        return asked.reading(lambda reply: Backward(reply["value"], reply["input_grads"], reply["parameter_grads"]))

    def flops(self, *args: Any, **kwargs: Any) -> int:
        """The FLOPs of the matrix products in a call."""
        return int(self._ahead(args, kwargs, meter=True).wait()["flops"])

    def _ahead(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        **options: Any,
    ) -> Answer:
        request: dict[str, Any] = {"do": "call", "layer": self.number, "symbol": self.symbol}
        same = [next(i for i, other in enumerate(args) if other is arg) for arg in args]
        request |= {"args": list(args), "same": same, "kwargs": kwargs, **options}
        return self._learner.ask(request, lambda: self._call(args, kwargs), self.symbol)

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
        number = self._learner.next_layer()
        request = {"do": "make", "layer": number, "symbol": self.symbol, "args": list(args), "kwargs": kwargs}
        return Layer(self._learner, self.symbol, number, made, self._learner.ask(request, lambda: made, self.symbol))


class Layer(_Callable):
    """A layer of the learner's."""

    def __init__(self, learner: Learner, symbol: str, number: int, made: str, asked: Answer) -> None:
        super().__init__(learner, symbol, number, made, learner.kata.signatures[f"{symbol}.forward"])
        self.made = made
        self._shapes = asked.reading(_shapes)

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of its parameters."""
        shapes: dict[str, tuple[int, ...]] = self._shapes.wait()
        return shapes

    def set(
        self,
        weights: Mapping[str, Tensor],
        dtype: torch.dtype = torch.float64,
        training: bool = False,
        grad: bool | None = None,
    ) -> Layer:
        """Copy weights into the parameters of the same names; CheckFailed where these are not the contract's.

        Args:
            grad: whether calls record gradients; None: as usual, in training they do and in evaluation not.
        """
        wanted = {name: tuple(weight.shape) for name, weight in weights.items()}
        self._shapes.then(lambda shapes: self._compare(shapes, wanted))
        assert self.number is not None
        grad = training if grad is None else grad
        self._learner.set_first(self.number, weights, dtype=dtype, training=training, grad=grad)
        return self

    def _compare(self, shapes: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]) -> None:
        if shapes != wanted:
            message = "the layers do not have the contract's parameters"
            raise self._learner.failed(message, odd_ones(wanted, shapes), odd_ones(shapes, wanted))

    def peak(self, *args: Any) -> int:
        """The most bytes that a call holds at a time in inference, without its arguments, which may come expanded."""
        request = {"do": "peak", "layer": self.number, "args": list(args)}
        return int(self._learner.ask(request, lambda: self._call(args, {}), self.symbol).wait()["peak"])


def _shapes(made: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in made["value"].items()}
