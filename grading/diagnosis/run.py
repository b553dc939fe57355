"""A program with mistakes, run over the calls that a check made of the learner's code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from grading.candidate.objects import Objects, solid
from grading.candidate.session import weighted
from grading.diagnosis.lent import Lent
from grading.diagnosis.matching import same, tensors
from grading.diagnosis.program import Program
from grading.diagnosis.raised import caught
from grading.diagnosis.transcript import ASIDE, Shapes

ERRORS = (RuntimeError, IndexError, ValueError, TypeError, AttributeError, ZeroDivisionError, AssertionError, KeyError)


class Run:
    """A program that goes through a transcript, with its layers as they were made.

    Args:
        lent: what it has in common with the other programs that go through it.
    """

    def __init__(self, program: type[Program], lent: Lent | None = None) -> None:
        self.program = program
        self._lent = lent or Lent()
        self._made: dict[int, Program] = {}
        self._shapes: dict[int, Shapes] = {}  # of the parameters of each layer
        self._blank: set[int] = set()  # the layers that have no weights yet
        self.objects = Objects()
        self.calls = 0

    def step(self, request: dict[str, Any]) -> Any:
        """What the candidate would have answered: shapes, a value, {"value": ..., "input_grads": ...}, or Raised."""
        try:
            for first in request.get("first", ()):
                getattr(self, f"_{first['do']}")(first)
            self.calls += request["do"] not in (*ASIDE, "decode")  # which counts its own
            return getattr(self, f"_{request['do']}")(request)
        except ERRORS as error:
            return caught(error)

    def _make(self, request: dict[str, Any]) -> Shapes:
        layer = self.program(*request["args"], **request["kwargs"])
        self._made[request["layer"]] = layer
        self._blank.add(request["layer"])
        self._shapes[request["layer"]] = shapes = layer.parameters()
        return shapes

    def _layer(self, number: int) -> Program:
        """A layer, whose weights are zeros unless it was given others."""
        layer = self._made[number]
        if number in self._blank:
            self._blank.remove(number)
            zeros = {name: torch.zeros(shape) for name, shape in self._shapes[number].items()}
            layer.set(zeros, True, self._lent)
        return layer

    def _set(self, request: dict[str, Any]) -> None:
        if request["training"]:
            torch.default_generator.manual_seed(request["seed"])
        self._blank.discard(request["layer"])
        weights = self._lent.weights(request["weights"], request["dtype"], self._shapes[request["layer"]])
        self._made[request["layer"]].set(weights, request["training"], self._lent)

    def _call(self, request: dict[str, Any]) -> Any:
        args = self.objects.resolved(self._own(request["args"]))
        args = [args[i] for i in request["same"]]
        kwargs = self.objects.resolved({name: self._own(value) for name, value in request["kwargs"].items()})
        target = self._target(request)
        if "cotangent" in request:
            with torch.enable_grad():
                return self._backward(request, target, args)
        value = self.program.in_order(target(*args, **kwargs))
        args = [None if isinstance(arg, SimpleNamespace) else arg for arg in args]  # objects are looked at
        return {"value": value, "echo": [args, kwargs]} if request.get("echo") else value

    def _several(self, request: dict[str, Any]) -> Any:
        target = self._target(request)
        values: list[Any] = []
        for args in request["calls"]:
            given = self.objects.resolved(self._own(args))
            before = [_copied(values[-1])] if request.get("turn") and values else []
            values.append(target(*before, *given))
        return [self.program.in_order(value) for value in values]

    def _own(self, value: Any) -> Any:
        """Arguments that a mistake may change."""
        return _mapped(self._lent.own, value)

    def _build(self, request: dict[str, Any]) -> None:
        """An object with the fields and nothing else: that is how programs see what the stub gives."""
        fields = {name: _copied(solid(value)) for name, value in request["kwargs"].items()}
        self.objects.keep(request["object"], SimpleNamespace(**fields), fields)

    def _assign(self, request: dict[str, Any]) -> None:
        self.objects.assign(request["object"], request["kwargs"])

    def _look(self, request: dict[str, Any]) -> dict[str, Any]:
        found = self.objects.look(request["object"])
        return {**found, "value": {name: _copied(value) for name, value in found["value"].items()}}

    def _decode(self, request: dict[str, Any]) -> Any:
        outputs: list[Any] = []
        caches: list[Any] = []
        for layer, x, parent in request["steps"]:
            self.calls += 1
            value = self._layer(layer)(x) if parent is None else self._layer(layer)(x, caches[parent])
            if not (isinstance(value, tuple | list) and len(value) == 2):
                break
            outputs.append(value[0])
            caches.append(value[1])
        return [outputs, caches]

    def _peak(self, request: dict[str, Any]) -> Any:
        return None

    def _backward(self, request: dict[str, Any], target: Any, args: list[Any]) -> dict[str, Any]:
        asked = request.get("leaves", True)
        wanted, leaves = iter(asked) if isinstance(asked, list) else repeat(asked), dict[int, Tensor]()
        given = [_leaf(arg, leaves, wanted) for arg in args]
        layer = self._made.get(request["layer"])
        parameters = {}
        if layer is not None:
            parameters = {name: weight.detach().clone().requires_grad_() for name, weight in layer.layers.items()}
            layer.layers = parameters
        value = target(*given, **request["kwargs"])
        pairs = [(output, each) for output, each in weighted(value, request["cotangent"]) if output.requires_grad]
        if pairs:
            sum((output * each).sum() for output, each in pairs).backward()  # type: ignore[union-attr]
        inputs = [x.grad for x in tensors(given) if x.is_floating_point()]
        grads = {name: leaf.grad for name, leaf in parameters.items()}
        return {"value": _mapped(Tensor.detach, value), "input_grads": inputs, "parameter_grads": grads}

    def _target(self, request: dict[str, Any]) -> Program:
        return self._layer(request["layer"]) if request["layer"] is not None else self.program()


@dataclass
class Call:
    """One call of a layer or function, with what was made and set before it, and what came back.

    Attributes:
        made: the constructor's arguments by name; {} for a function.
        arguments: by name.
        got: the value, or Raised.
    """

    symbol: str
    made: dict[str, Any]
    weights: Mapping[str, Tensor]
    dtype: torch.dtype
    training: bool
    arguments: dict[str, Any]
    got: Any
    flops: int = 0

    def run(self, program: type[Program], training: bool | None = None) -> Any:
        """What a program gives for it, or Raised."""
        try:
            with torch.no_grad():
                return self.layer(program, self.training if training is None else training)(**self.arguments)
        except ERRORS as error:
            return caught(error)

    def layer(self, program: type[Program], training: bool) -> Program:
        """A program as the layer was made, with its weights."""
        layer = program(**self.made)
        layer.set({name: weight.to(self.dtype) for name, weight in self.weights.items()}, training)
        return layer

    def same_inputs(self, other: Call) -> bool:
        mine, theirs = list(tensors(self.arguments)), list(tensors(other.arguments))
        return len(mine) == len(theirs) and all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def equal(given: Any, right: Any) -> bool:
    """Whether two results of programs are the same, as far as their digits go."""
    if given is right:
        return True
    if isinstance(given, Tensor) and isinstance(right, Tensor):
        return same(given, right)
    if isinstance(given, dict) and isinstance(right, dict):
        return given.keys() == right.keys() and all(equal(given[key], right[key]) for key in given)
    if isinstance(given, tuple | list) and isinstance(right, tuple | list):
        return len(given) == len(right) and all(equal(a, b) for a, b in zip(given, right, strict=True))
    return bool(given == right) if not isinstance(given, Tensor) and not isinstance(right, Tensor) else False


def _leaf(value: Any, leaves: dict[int, Tensor], wanted: Iterator[bool]) -> Any:
    """A leaf of its own for each tensor; one for what is the same tensor twice."""
    if isinstance(value, tuple):
        return tuple(_leaf(each, leaves, wanted) for each in value)
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    return leaves.setdefault(id(value), value.detach().clone().requires_grad_(next(wanted)))


def _mapped(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """A value with what a function makes of each of its tensors."""
    if isinstance(value, tuple | list):
        return type(value)(_mapped(function, each) for each in value)
    return function(value) if isinstance(value, Tensor) else value


def _copied(value: Any) -> Any:
    return _mapped(Tensor.clone, value)
