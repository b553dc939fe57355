"""A check's calls, run again on programs: does a program with mistakes give what the learner's code gave?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from grading.candidate import wire
from grading.diagnosis.matching import is_telling, same, tensors
from grading.diagnosis.program import Program, Shapes
from grading.records import Event

ERRORS = (RuntimeError, IndexError, ValueError, TypeError, AttributeError, ZeroDivisionError, AssertionError, KeyError)
ROUNDING = 1e-6  # of the largest gradient: what is as small beside it may be zero
TOO_LARGE = 1 << 21  # bytes of a check's tensors: its calls are not worth the time


@dataclass(frozen=True)
class Raised:
    """An error in place of a value."""

    type: str
    message: str

    def like(self, other: Any) -> bool:
        """The same class with the same text."""
        return isinstance(other, Raised) and (self.type, self.message) == (other.type, other.message)


def caught(error: BaseException) -> Raised:
    return Raised(type(error).__name__, " ".join(str(error).split())[:300])


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
            layer = program(**self.made)
            layer.set(self.weights, self.dtype, self.training if training is None else training)
            with torch.no_grad():
                return layer(**self.arguments)
        except ERRORS as error:
            return caught(error)

    def same_inputs(self, other: Call) -> bool:
        mine, theirs = list(tensors(self.arguments)), list(tensors(other.arguments))
        return len(mine) == len(theirs) and all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


class Judgement(NamedTuple):
    """Whether a program gives what the learner's code gave; whether it gives one of the wrong tensors in it; whether it
    fails where that fails, if in other words; whether it gives what a right answer does; how many calls it took."""

    explained: bool
    partly: bool
    fails: bool
    unmoved: bool
    calls: int


@dataclass
class Step:
    """A request to the candidate and its reply, as the check's transcript has them."""

    request: dict[str, Any]
    reply: dict[str, Any]

    @property
    def error(self) -> Raised | None:
        error = self.reply.get("error")
        if not isinstance(error, dict):
            return None
        return Raised(str(error.get("type")), " ".join(str(error.get("message", "")).split())[:300])


class Check:
    """A failed or passed check: its name, and the transcript of its calls.

    Args:
        symbols: parameter names by "function" or "Class.__init__" and "Class.forward".
    """

    def __init__(self, name: str, events: Sequence[Event], symbols: Mapping[str, tuple[str, ...]]) -> None:
        self.name = name
        self.events = events
        self._symbols = symbols
        self.strict = False
        self._right: list[Any] = []

    @cached_property
    def size(self) -> int:
        """Bytes of all its requests."""
        return sum(len(event.request) for event in self.events)

    @property
    def usable(self) -> bool:
        return bool(self.events) and self.size <= TOO_LARGE and self.events[-1].reply is not None

    @cached_property
    def steps(self) -> list[Step]:
        found = [Step(wire.decode(event.request, strided=True), event.reply or {}) for event in self.events]
        return [part for step in found for part in _apart(step)]

    @cached_property
    def half(self) -> bool:
        """Whether it is about half precision, where orders of operation that are equally right differ."""
        given = (tensor.dtype for step in self.steps for tensor in tensors(step.request))
        return any(dtype in (torch.float16, torch.bfloat16) for dtype in given)

    @cached_property
    def cost(self) -> int:
        """How many calls a run of it takes."""
        calls = [step.request for step in self.steps if step.request["do"] != "make"]
        return max(1, sum(len(each.get("calls") or each.get("steps") or "1") for each in calls[:4]))

    @cached_property
    def has_mask(self) -> bool:
        """Whether a call is given a boolean tensor."""
        return any(tensor.dtype is torch.bool for step in self.steps for tensor in tensors(_given(step.request)))

    @cached_property
    def has_dropout(self) -> bool:
        """Whether a layer is made with dropout, or is in training."""
        asked = [s.request for s in self.steps if s.request["do"] == "make"]
        trained = any(first["training"] for step in self.steps for first in step.request.get("first", ()))
        return trained or any("dropout" in each["kwargs"] for each in asked)

    @property
    def made_right(self) -> bool:
        """Whether the layers have the parameters that they should have, and are made where they should be."""
        return self._made_wrong is None

    @cached_property
    def _made_wrong(self) -> int | None:
        """The first step that makes a layer which is not as it should be: what comes after it says nothing more."""
        for i, (step, right) in enumerate(zip(self.steps, self._right, strict=False)):
            if step.request["do"] == "make" and not _as_made(step, right):
                return i
        return None

    @property
    def symbol(self) -> str:
        """The class or function that it is about."""
        return str(next((s.request["symbol"] for s in self.steps if "symbol" in s.request), ""))

    # ------------------------------------------------------------------------------------------ programs

    def explained_by(self, program: type[Program], in_place: bool = False) -> bool:
        """Whether the program, run over the transcript, gives at every step what the learner's code gave."""
        return self.judged(program, in_place).explained

    def judged(self, program: type[Program], in_place: bool = False) -> Judgement:
        """What a program, run over the transcript, has to do with what the learner's code gave."""
        run = Run(program, in_place)
        explained, partly, fails, unmoved, wrong = True, False, True, bool(self._right), False
        last = self._made_wrong if self._right else None
        steps = self.steps if last is None else self.steps[: last + 1]
        for step, right in zip(steps, self._right or [None] * len(steps), strict=False):
            given = run.step(step.request)
            unmoved = unmoved and equal(given, right)
            if self._alike(step, given, right):
                wrong = wrong or (not unmoved and _tells_apart(step.reply.get("value"), right))
            else:
                explained = False
                partly = partly or wrong or _partly_alike(step, given, right)
                fails = fails and step.error is not None and isinstance(given, Raised) and given.type == step.error.type
            if not fails and not unmoved:
                break
        return Judgement(explained, partly, fails, unmoved, run.calls)

    def refutes(self, program: type[Program], in_place: bool = False) -> bool:
        """Whether the program gives other numbers than the learner's code; an error hangs on how a line is written."""
        run = Run(program, in_place)
        pairs = ((step, run.step(step.request)) for step in self.steps)
        return any(not isinstance(given, Raised) and not self._alike(step, given, None) for step, given in pairs)

    def _alike(self, step: Step, given: Any, right: Any) -> bool:
        error = step.error
        if step.request["do"] == "make":
            return _made_alike(step, given, right)
        if error is not None or isinstance(given, Raised):
            return error is not None and error.like(given)
        return run_alike(step, given, right, self.strict)

    def compare_with(self, right: type[Program]) -> None:
        """Take the right answer's values, beside which the learner's are looked at."""
        run = Run(right)
        self._right = [run.step(step.request) for step in self.steps]
        if self.explained_by(right):  # the failure is in digits that float32 work has not, or in no number at all
            self.strict = True

    @cached_property
    def telling(self) -> bool:
        """Whether the last wrong value is of a kind that chance does not reproduce."""
        step = self.steps[-1]
        right = self._right[-1] if self._right else None
        right = _values(right, step.request) if isinstance(right, dict) else right
        return is_telling(_values(step.reply, step.request), right, self.strict)

    @cached_property
    def blank(self) -> bool:
        """Whether the last value is NaN or infinite throughout, or an error."""
        last = self.steps[-1]
        return not any(bool(each.isfinite().any()) for each in tensors(_values(last.reply, last.request)))

    # --------------------------------------------------------------------------------------------- facts

    def calls(self) -> list[Call]:
        """The plain calls of the check, one after the other."""
        found, made, setting = [], {}, {}
        for step in self.steps:
            for first in step.request.get("first", ()):
                setting[first["layer"]] = first
            if step.request["do"] == "make":
                names = self._symbols.get(f"{step.request['symbol']}.__init__", ())
                made[step.request["layer"]] = _named(names, step.request["args"], step.request["kwargs"])
            if step.request["do"] in ("call", "several"):
                found += self._calls_of(step, made, setting)
        return found

    def _calls_of(self, step: Step, made: dict[int, dict[str, Any]], setting: dict[int, dict[str, Any]]) -> list[Call]:
        request = step.request
        layer, symbol = request["layer"], request["symbol"]
        names = self._symbols.get(symbol if layer is None else f"{symbol}.forward", ())
        given = request["calls"] if request["do"] == "several" else [request["args"]]
        values = step.reply.get("value")
        values = values if request["do"] == "several" and isinstance(values, list) else [values] * len(given)
        state = setting.get(layer, {})
        return [
            Call(
                symbol,
                made.get(layer, {}),
                state.get("weights", {}),
                state.get("dtype", torch.float32),
                bool(state.get("training", False)),
                _named(names, args, request.get("kwargs", {})),
                step.error or value,
                int(step.reply.get("flops", 0)),
            )
            for args, value in zip(given, values, strict=False)
        ]

    def modified(self) -> set[str]:
        """The names of the arguments that a call changed."""
        found: set[str] = set()
        for step in self.steps:
            if step.request.get("echo") and "echo" in step.reply:
                names = self._names(step.request)
                after, _ = step.reply["echo"]
                pairs = zip(names, step.request["args"], after, strict=False)
                found |= {name for name, was, now in pairs if not _unchanged(was, now)}
        return found

    def _names(self, request: dict[str, Any]) -> tuple[str, ...]:
        symbol = request["symbol"]
        return self._symbols.get(symbol if request["layer"] is None else f"{symbol}.forward", ())

    def made_and_wanted(self) -> list[tuple[Shapes, Shapes]]:
        """The parameters of each layer that was made, and those that a right one has."""
        pairs = zip(self.steps, self._right, strict=False)
        return [
            (_shapes(step.reply["value"]), right)
            for step, right in pairs
            if step.request["do"] == "make" and isinstance(step.reply.get("value"), dict) and isinstance(right, dict)
        ]

    def raised(self) -> str:
        """The class of the error that came last, "" for none."""
        error = self.steps[-1].error
        return error.type if error else ""

    def should_raise(self, right: type[Program]) -> str:
        """The class of the error that a right answer raises last."""
        last = (self._right or [None])[-1]
        return last.type if isinstance(last, Raised) else ""

    def gradients_missing(self) -> bool:
        """Whether the output of the last call is right, and a gradient that a right answer has is not there at all."""
        step = self.steps[-1]
        if "cotangent" not in step.request or step.error or not self._right or isinstance(self._right[-1], Raised):
            return False
        wanted = self._right[-1]
        if not same(wanted["value"], step.reply.get("value")):
            return False
        pairs = zip(_gradients(step.reply), _gradients(wanted), strict=False)
        return any(got is None and isinstance(right, Tensor) and bool(right.any()) for got, right in pairs)


class Run:
    """A program that goes through a transcript, with its layers as they were made."""

    def __init__(self, program: type[Program], in_place: bool = False) -> None:
        self.program = program
        self.layers: dict[int, Program] = {}
        self.calls = 0
        self._in_place = in_place

    def step(self, request: dict[str, Any]) -> Any:
        """What the candidate would have answered: shapes, a value, {"value": ..., "input_grads": ...}, or Raised."""
        try:
            for first in request.get("first", ()):
                self.layers[first["layer"]].set(first["weights"], first["dtype"], first["training"])
            self.calls += request["do"] != "make"
            return getattr(self, f"_{request['do']}")(request)
        except ERRORS as error:
            return caught(error)

    def _make(self, request: dict[str, Any]) -> Shapes:
        layer = self.program(*request["args"], **request["kwargs"])
        shapes = layer.parameters()
        layer.set({name: torch.zeros(shape) for name, shape in shapes.items()}, torch.float32, True)
        self.layers[request["layer"]] = layer
        return shapes

    def _call(self, request: dict[str, Any]) -> Any:
        args = self._own(request["args"])
        args = [args[i] for i in request["same"]]
        target = self._target(request)
        if "cotangent" in request:
            return self._backward(request, target, args)
        with torch.no_grad():
            value = target(*args, **request["kwargs"])
        return {"value": value, "echo": args} if request.get("echo") else value

    def _several(self, request: dict[str, Any]) -> Any:
        target = self._target(request)
        with torch.no_grad():
            return [target(*self._own(args)) for args in request["calls"]]

    def _decode(self, request: dict[str, Any]) -> Any:
        outputs: list[Any] = []
        caches: list[Any] = []
        with torch.no_grad():
            for layer, x, parent in request["steps"]:
                self.calls += 1
                value = self.layers[layer](x) if parent is None else self.layers[layer](x, caches[parent])
                if not (isinstance(value, tuple | list) and len(value) == 2):
                    break
                outputs.append(value[0])
                caches.append(value[1])
        return [outputs, caches]

    def _peak(self, request: dict[str, Any]) -> Any:
        return None

    def _backward(self, request: dict[str, Any], target: Any, args: list[Any]) -> dict[str, Any]:
        wanted = request.get("leaves", True)
        leaves: dict[int, Tensor] = {}
        given = [_leaf(arg, leaves, wanted) for arg in args]
        layer = self.layers.get(request["layer"])
        parameters = {}
        if layer is not None:
            parameters = {name: weight.detach().clone().requires_grad_() for name, weight in layer.layers.items()}
            layer.layers = parameters
        value = target(*given, **request["kwargs"])
        output = value[0] if isinstance(value, tuple) else value
        (output * request["cotangent"]).sum().backward()
        inputs = [x.grad for x in given if isinstance(x, Tensor) and x.is_floating_point()]
        grads = {name: leaf.grad for name, leaf in parameters.items()}
        return {"value": value, "input_grads": inputs, "parameter_grads": grads}

    def _target(self, request: dict[str, Any]) -> Program:
        return self.layers[request["layer"]] if request["layer"] is not None else self.program()

    def _own(self, args: Sequence[Any]) -> list[Any]:
        """Arguments that a mistake may change."""
        return [_copied(arg) for arg in args] if self._in_place else list(args)


def equal(given: Any, right: Any) -> bool:
    """Whether two results of programs are the same, as far as their digits go."""
    if isinstance(given, Tensor) and isinstance(right, Tensor):
        return given is right or same(given, right)
    if isinstance(given, dict) and isinstance(right, dict):
        return given.keys() == right.keys() and all(equal(given[key], right[key]) for key in given)
    if isinstance(given, tuple | list) and isinstance(right, tuple | list):
        return len(given) == len(right) and all(equal(a, b) for a, b in zip(given, right, strict=True))
    return bool(given == right) if not isinstance(given, Tensor) and not isinstance(right, Tensor) else False


def run_alike(step: Step, given: Any, right: Any, strict: bool) -> bool:
    """Whether a reply is what a program gave, in all that the check may have looked at."""
    request, reply = step.request, step.reply
    if "cotangent" in request:
        wanted, got = (_gradients(each) for each in (given, reply))
        rights = _gradients(right) if isinstance(right, dict) else None
        sizes = (float(each.nan_to_num(0, 0, 0).abs().max()) for each in tensors(got) if each.numel())
        largest = max(sizes, default=0.0)
        return same(wanted, got, rights, strict, ROUNDING * largest)
    if "odd" in reply:
        return False
    if request.get("echo"):
        value, right = given["value"], right["value"] if isinstance(right, dict) else None
        after = reply["echo"][0]
        unchanged = all(_unchanged(was, now) for was, now in zip(given["echo"], after, strict=False))
        return unchanged and same(value, reply.get("value"), right, strict)
    if request["do"] in ("flops", "peak") or "meter" in request:
        return False
    return same(given, reply.get("value"), right, strict)


def _apart(step: Step) -> list[Step]:
    """Calls in a row, one by one: what the first of them shows need not wait for the others."""
    request, values = step.request, step.reply.get("value")
    calls = request.get("calls", ())
    if request["do"] != "several" or not isinstance(values, list) or len(values) != len(calls):
        return [step]
    shared = {key: request[key] for key in ("layer", "symbol")} | {"do": "call", "kwargs": {}}
    parts = [
        Step({**shared, "args": list(args), "same": list(range(len(args)))}, {"value": value})
        for args, value in zip(calls, values, strict=True)
    ]
    parts[0].request["first"] = request.get("first", [])
    return parts


def _partly_alike(step: Step, given: Any, right: Any) -> bool:
    """Whether one of several tensors, which is wrong, is reproduced."""
    got = list(tensors(_values(step.reply, step.request)))
    wanted, rights = (list(tensors(_values(v, step.request) if isinstance(v, dict) else v)) for v in (given, right))
    if len(got) < 2 or not len(got) == len(wanted) == len(rights):
        return False
    triples = zip(got, wanted, rights, strict=True)
    return any(_tells_apart(g, r) and same(w, g) for g, w, r in triples)


def _tells_apart(got: Any, right: Any) -> bool:
    """Whether it is a wrong tensor that is more than a constant."""
    if not isinstance(got, Tensor) or not isinstance(right, Tensor):
        return False
    if got.numel() < 2 or same(right, got) or not bool(got.isfinite().all()):
        return False
    return bool((got != got.flatten()[0]).any())


def _made_alike(step: Step, given: Any, right: Any) -> bool:
    """Parameters of the same names and shapes; where a right answer raises, an error of the same class or none."""
    error = step.error
    if error is not None or isinstance(given, Raised):
        return error is not None and isinstance(given, Raised) and error.type == given.type
    return isinstance(right, Raised) or _shapes(step.reply.get("value") or {}) == given


def _as_made(step: Step, right: Any) -> bool:
    if step.error or isinstance(right, Raised):
        return isinstance(right, Raised) and step.error is not None and step.error.type == right.type
    return bool(_shapes(step.reply.get("value") or {}) == right)


def _given(request: dict[str, Any]) -> list[Any]:
    """All that a request's calls are given."""
    return [request.get(key) for key in ("args", "kwargs", "calls", "steps")]


def _shapes(value: Mapping[str, Any]) -> Shapes:
    return {name: tuple(shape) for name, shape in value.items()}


def _values(reply: Mapping[str, Any], request: Mapping[str, Any]) -> Any:
    return _gradients(reply) if "cotangent" in request else reply.get("value")


def _gradients(reply: Mapping[str, Any]) -> list[Any]:
    """Of the inputs in order, then of the parameters by name; of a cut-off one None."""
    parameters = reply.get("parameter_grads") or {}
    return [*(reply.get("input_grads") or []), *(parameters[name] for name in sorted(parameters))]


def _leaf(value: Any, leaves: dict[int, Tensor], wanted: bool) -> Any:
    """A leaf of its own for each tensor; one for what is the same tensor twice."""
    if isinstance(value, tuple):
        return tuple(_leaf(each, leaves, wanted) for each in value)
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    return leaves.setdefault(id(value), value.detach().clone().requires_grad_(wanted))


def _copied(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_copied(each) for each in value)
    return value.clone() if isinstance(value, Tensor) else value


def _named(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _unchanged(was: Any, now: Any) -> bool:
    if isinstance(was, tuple):
        return isinstance(now, tuple) and all(_unchanged(a, b) for a, b in zip(was, now, strict=False))
    if not isinstance(was, Tensor):
        return True
    return isinstance(now, Tensor) and was.shape == now.shape and was.dtype == now.dtype and torch.equal(was, now)
