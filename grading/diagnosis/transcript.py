"""What a check saw: its requests to the learner's code, the replies, and what a right answer gives for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from grading.candidate import wire
from grading.candidate.connection import arguments_after
from grading.diagnosis.matching import HALF, same, tensors
from grading.diagnosis.raised import Raised
from grading.records import Event

TOO_LARGE = 1 << 21  # bytes of a check's tensors: its calls are not worth the time
TOO_LONG = 4096  # of a dimension: with a mistake in it, a program may make the square of that
NUMBERS = 8192  # in the arguments of a call, from which on it takes longer for each of them
ASIDE = ("make", "build", "assign", "look")  # requests that call nothing
Shapes = dict[str, tuple[int, ...]]


@dataclass
class Step:
    """A request to the candidate and its reply, as the check's transcript has them.

    Attributes:
        right: what a right answer gives for it, once that is known.
    """

    request: dict[str, Any]
    reply: dict[str, Any]
    right: Any = None

    @cached_property
    def got(self) -> list[Tensor]:
        """The tensors that came back."""
        return list(tensors(values_of(self.reply, self.request)))

    @cached_property
    def wanted(self) -> list[Tensor]:
        """Those that a right answer has."""
        return list(tensors(value_of(self.right, self.request)))

    @cached_property
    def largest(self) -> float:
        """The largest finite number that came back."""
        sizes = (float(each.double().nan_to_num(0, 0, 0).abs().max()) for each in self.got if each.numel())
        return max(sizes, default=0.0)

    @cached_property
    def wrong(self) -> list[bool]:
        """Of each tensor that came back whether it is wrong, and more than a constant; where there are as many as in a
        right answer."""
        alike = len(self.got) == len(self.wanted)
        return [_tells_apart(got, right) for got, right in zip(self.got, self.wanted, strict=True)] if alike else []

    @property
    def error(self) -> Raised | None:
        error = self.reply.get("error")
        if not isinstance(error, dict):
            return None
        return Raised(str(error.get("type")), " ".join(str(error.get("message", "")).split())[:300])

    @property
    def untouched(self) -> bool:
        """Whether the arguments are as they were, as far as the call told."""
        after, _ = self.reply.get("echo", ((), {}))
        return all(unchanged(was, now) for was, now in zip(self.request.get("args", ()), after, strict=False))

    @property
    def settings(self) -> list[dict[str, Any]]:
        """The weights and modes that layers were given before it."""
        return [first for first in self.request.get("first", ()) if first["do"] == "set"]

    def with_value(self, form: Callable[[Any], Any]) -> Step:
        """The same, with the value of the reply in that form."""
        if "value" not in self.reply:
            return self
        return Step(self.request, {**self.reply, "value": form(self.reply["value"])})


class Transcript:
    """The calls of a failed or passed check.

    Args:
        symbols: parameter names by "function" or "Class.__init__" and "Class.forward".
    """

    def __init__(self, name: str, events: Sequence[Event], symbols: Mapping[str, tuple[str, ...]]) -> None:
        self.name = name
        self.events = events
        self._symbols = symbols
        self.compared = False  # whether it is known what a right answer gives
        self.made_right = True  # whether its layers have the parameters that they should have, and are made at all
        self.in_order: Callable[[Any], Any] = lambda value: value  # the form in which answers are compared

    @cached_property
    def size(self) -> int:
        """Bytes of all its requests."""
        return sum(len(event.request) for event in self.events)

    @cached_property
    def usable(self) -> bool:
        """Whether it can be run again with one program after another."""
        return self.complete and self.longest <= TOO_LONG

    @cached_property
    def complete(self) -> bool:
        """Whether it can be run again with a program at all."""
        return bool(self.events) and self.size <= TOO_LARGE and self.events[-1].reply is not None

    @cached_property
    def longest(self) -> int:
        """The largest dimension of what its calls are given."""
        given = (each for request in self._requests for each in tensors(_given(request)))
        return max((length for each in given for length in each.shape), default=0)

    @cached_property
    def _requests(self) -> list[dict[str, Any]]:
        return [wire.decode(event.request, request=True) for event in self.events]

    @cached_property
    def steps(self) -> list[Step]:
        pairs = zip(self._requests, self.events, strict=True)
        found = [Step(request, event.reply or {}) for request, event in pairs]
        return [part.with_value(self.in_order) for step in found for part in apart(step)]

    @cached_property
    def half(self) -> bool:
        """Whether it is about half precision, where orders of operation that are equally right differ."""
        given = (tensor.dtype for step in self.steps for tensor in tensors(step.request))
        return any(dtype in HALF for dtype in given)

    @cached_property
    def cost(self) -> int:
        """What a run of it takes, in calls of small tensors."""
        calls = [step.request for step in self.steps if step.request["do"] not in ASIDE]
        return self.work * max(1, sum(len(each.get("calls") or each.get("steps") or "1") for each in calls[:4]))

    @cached_property
    def work(self) -> int:
        """What a call of it takes, where one of small tensors takes 1."""
        given = (sum(each.numel() for each in tensors(_given(step.request))) for step in self.steps)
        return 1 + max(given, default=0) // NUMBERS

    @cached_property
    def numbers(self) -> int:
        """How many came back."""
        return sum(each.numel() for step in self.steps for each in tensors(step.reply.get("value")))

    @cached_property
    def has_mask(self) -> bool:
        """Whether a call is given a boolean tensor."""
        return any(tensor.dtype is torch.bool for step in self.steps for tensor in tensors(_given(step.request)))

    @cached_property
    def has_dropout(self) -> bool:
        """Whether a layer is made with dropout, or is in training."""
        asked = [s.request for s in self.steps if s.request["do"] == "make"]
        trained = any(first["training"] for step in self.steps for first in step.settings)
        return trained or any("dropout" in each["kwargs"] for each in asked)

    @cached_property
    def makes_only(self) -> bool:
        """Whether it calls nothing but constructors."""
        return all(step.request["do"] == "make" for step in self.steps)

    @property
    def takes_weights(self) -> bool:
        """Whether its layers have parameters at all."""
        return all(step.reply.get("value") for step in self.steps if step.request["do"] == "make")

    @cached_property
    def symbol(self) -> str:
        """The class or function that it is about."""
        return str(next((request["symbol"] for request in self._requests if "symbol" in request), ""))

    # --------------------------------------------------------------------------------------------- facts

    def modified(self) -> set[str]:
        """The names of the arguments that a call changed."""
        found: set[str] = set()
        for step in self.steps:
            if step.request.get("echo") and "echo" in step.reply:
                names = self._names(step.request)
                after, _ = step.reply["echo"]
                pairs = zip(names, step.request["args"], after, strict=False)
                found |= {name for name, was, now in pairs if not unchanged(was, now)}
        return found

    @property
    def changes_a_leaf(self) -> bool:
        """Whether a function, which has no parameters, ended in PyTorch's error at a change in place of what gradients
        are asked of."""
        last = self.steps[-1]
        words = "leaf Variable that requires grad is being used in an in-place operation"
        return last.error is not None and last.request.get("layer") is None and words in last.error.message

    def _names(self, request: dict[str, Any]) -> tuple[str, ...]:
        symbol = request["symbol"]
        return self._symbols.get(symbol if request["layer"] is None else f"{symbol}.forward", ())

    def made_and_wanted(self) -> list[tuple[Shapes, Shapes]]:
        """The parameters of each layer that was made, and those that a right one has."""
        made = [step for step in self.steps if step.request["do"] == "make" and isinstance(step.right, dict)]
        values = [(step.reply.get("value"), step.right) for step in made]
        return [(shapes_of(value), right) for value, right in values if isinstance(value, dict)]

    def looks(self, after_error: bool = False) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """What was seen when the check looked at objects, and what there is to be seen after a right answer's calls.

        Args:
            after_error: only where the request before rightly ended in an error.
        """
        failed = False
        for step in self.steps:
            right = step.right
            seen = step.request["do"] == "look" and "moved" in step.reply and isinstance(right, dict)
            if seen and (failed or not after_error):
                yield step.reply, right
            failed = step.error is not None and isinstance(right, Raised) and step.error.type == right.type

    def raised(self) -> str:
        """The class of the error that came last, "" for none."""
        error = self.steps[-1].error
        return error.type if error else ""

    @property
    def shapes_raised(self) -> bool:
        """Whether shapes did not fit: an error whose words any mistake in a shape ends in."""
        error = self.steps[-1].error
        return error is not None and error.about_shapes and not self.should_raise()

    def should_raise(self) -> str:
        """The class of the error that a right answer raises last."""
        last = self.steps[-1].right
        return last.type if isinstance(last, Raised) else ""

    def gradients_missing(self) -> bool:
        """Whether the output of the last call is right, and a gradient that a right answer has is not there at all."""
        step = self.steps[-1]
        wanted = step.right
        if "cotangent" not in step.request or step.error or not isinstance(wanted, dict):
            return False
        if not same(wanted["value"], step.reply.get("value")):
            return False
        given = {name for setting in step.settings for name in setting["weights"]}  # no others have to be used
        pairs = zip(gradients(step.reply, given), gradients(wanted, given), strict=False)
        return any(got is None and isinstance(right, Tensor) and bool(right.any()) for got, right in pairs)


def apart(step: Step) -> list[Step]:
    """Calls in a row, one by one: what the first of them shows need not wait for the others."""
    request, values = step.request, step.reply.get("value")
    calls, broke = request.get("calls", ()), step.reply.get("broke")
    if request["do"] != "several" or not isinstance(values, list):
        return [step]
    replies = [{"value": value} for value in values] + ([{"error": broke}] if broke else [])
    if len(replies) > len(calls) or (len(replies) < len(calls) and not broke):
        return [step]
    if request.get("turn"):
        replies = replies[: step.reply.get("looked")]
        calls = [calls[0], *((before, *args) for before, args in zip(values, calls[1:], strict=False))]
    shared = {key: request[key] for key in ("layer", "symbol")} | {"do": "call", "kwargs": {}}
    parts = [
        Step({**shared, "args": list(args), "same": list(range(len(args)))}, reply)
        for args, reply in zip(calls, replies, strict=False)
    ]
    parts[0].request["first"] = request.get("first", [])
    return parts


def _given(request: dict[str, Any]) -> list[Any]:
    """All that a request's calls are given."""
    return [request.get(key) for key in ("args", "kwargs", "calls", "steps")]


def shapes_of(value: Mapping[str, Any]) -> Shapes:
    return {name: tuple(shape) for name, shape in value.items()}


def values_of(reply: Mapping[str, Any], request: Mapping[str, Any]) -> Any:
    """What a call was made for: gradients; its arguments as it left them, where it works in place; what it returned."""
    if "cotangent" in request:
        return gradients(reply)
    if "effect" in request and "echo" in reply and "error" not in reply:
        return arguments_after(reply)
    return reply.get("value")


def value_of(value: Any, request: Mapping[str, Any]) -> Any:
    """What a program gave for a request, as `values_of` has it of the learner's code."""
    return values_of(value, request) if isinstance(value, dict) else value


def gradients(reply: Mapping[str, Any], names: Collection[str] | None = None) -> list[Any]:
    """Of the inputs in order, then of the parameters by name, all or these; of a cut-off one None."""
    parameters = reply.get("parameter_grads") or {}
    asked = sorted(name for name in parameters if names is None or name in names)
    return [*(reply.get("input_grads") or []), *(parameters[name] for name in asked)]


def _tells_apart(got: Tensor, right: Tensor) -> bool:
    """Whether it is a wrong tensor that is more than a constant."""
    if got.numel() < 2 or same(right, got) or not bool(got.isfinite().all()):
        return False
    return bool((got != got.flatten()[0]).any())


def unchanged(was: Any, now: Any) -> bool:
    if isinstance(was, tuple):
        return isinstance(now, tuple) and all(unchanged(a, b) for a, b in zip(was, now, strict=False))
    if not isinstance(was, Tensor):
        return True
    return isinstance(now, Tensor) and was.shape == now.shape and was.dtype == now.dtype and torch.equal(was, now)
