"""A check's calls, run again on programs: does a program with mistakes give what the learner's code gave?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from grading.diagnosis.lent import Lent
from grading.diagnosis.matching import is_telling, same, tensors
from grading.diagnosis.program import Program
from grading.diagnosis.run import Call, Run, equal
from grading.diagnosis.transcript import (
    Raised,
    Step,
    Transcript,
    as_made,
    gradients,
    shapes_of,
    unchanged,
    values_of,
)

ROUNDING = 1e-6  # of the largest of several tensors: what is as small beside it may be zero


class Judgement(NamedTuple):
    """Whether a program gives what the learner's code gave; how many of the wrong tensors in it, where not all; whether
    it fails where that fails, if in other words; whether it fails where that does not; whether it gives what a right
    answer does; how many calls it took."""

    explained: bool
    parts: int
    fails: bool
    breaks: bool
    unmoved: bool
    calls: int


class Check(Transcript):
    """A failed or passed check, and what programs have to do with it."""

    _program: type[Program] | None = None  # the right one, once its values are taken
    strict = False  # whether its failure is in digits that float32 work has not

    @cached_property
    def _lent(self) -> Lent:
        return Lent()

    # ------------------------------------------------------------------------------------------ programs

    def explained_by(self, program: type[Program]) -> bool:
        """Whether the program, run over the transcript, gives at every step what the learner's code gave."""
        return self.judged(program).explained

    def judged(self, program: type[Program]) -> Judgement:
        """What a program, run over the transcript, has to do with what the learner's code gave."""
        run, known = Run(program, self._lent), program is self._program
        explained, parts, fails, breaks, unmoved = True, 0, True, False, bool(self._right)
        for step, right in zip(self.steps, self._right or [None] * len(self.steps), strict=True):
            given = right if known else run.step(step.request)
            unmoved = unmoved and (given == right if step.request["do"] == "make" else equal(given, right))
            if self._alike(step, given, right):
                parts += not unmoved and _tells_apart(step.reply.get("value"), right)
            else:
                explained, breaks = False, breaks or (isinstance(given, Raised) and step.error is None)
                parts += _parts_alike(step, given, right) or _of_one_form(step, given, right)
                fails = fails and step.error is not None and isinstance(given, Raised) and given.type == step.error.type
            if not fails and not unmoved:
                break
        return Judgement(explained, parts, fails, breaks, unmoved, run.calls)

    def refutes(self, program: type[Program]) -> bool:
        """Whether the program gives other numbers than the learner's code, or an error where there is no mask: how a
        mask meets shapes that it does not fit hangs on how a line is written."""
        run = Run(program, self._lent)
        for step in self.steps:
            given = run.step(step.request)
            forgiven = self.has_mask and isinstance(given, Raised)
            if not forgiven and not self._alike(step, given, None):
                return True
        return False

    def _alike(self, step: Step, given: Any, right: Any) -> bool:
        error = step.error
        if step.request["do"] == "make":
            return _made_alike(step, given, right)
        if error is not None or isinstance(given, Raised):
            return error is not None and error.like(given)
        return run_alike(step, given, right, self.strict)

    def compare_with(self, right: type[Program]) -> None:
        """Take the right answer's values, beside which the learner's are looked at. Nothing in them is lent. What comes
        after a layer that is made wrong says nothing more."""
        self._program = right
        run, self._right, self.made_right = Run(right), [], True
        for step in self.steps:
            self._right.append(run.step(step.request))
            if step.request["do"] == "make" and not as_made(step, self._right[-1]):
                self.made_right = False
                break
        self.steps = self.steps[: len(self._right)]
        pairs = zip(self.steps, self._right, strict=True)
        # then the failure is in digits that float32 work has not, or in no number at all
        self.strict = all(self._alike(step, given, given) for step, given in pairs)

    def again(self) -> Check:
        """The same check, to be compared with another program."""
        other = Check(self.name, self.events, self._symbols)
        other.in_order = self.in_order
        return other

    def made_by(self, program: type[Program]) -> Check:
        """The same check, as if its layers had been made with the parameters that a program's have."""
        run, other = Run(program), self.again()
        made = {i: run.step(step.request) for i, step in enumerate(other.steps) if step.request["do"] == "make"}
        for i in (i for i, shapes in made.items() if not isinstance(shapes, Raised)):
            other.steps[i] = Step(other.steps[i].request, {**other.steps[i].reply, "value": made[i]})
        return other

    def differs_in_digits(self) -> bool:
        """Whether what it saw differs from the right values in digits that float64 work has, where in no more."""
        if not self.strict:
            return False
        return any(not self._alike(step, right, None) for step, right in zip(self.steps, self._right, strict=True))

    @property
    def asks_for_digits(self) -> bool:
        """Whether it fails what is done in float32 on the way."""
        return "float64_precision" in self.name

    @cached_property
    def telling(self) -> bool:
        """Whether the last wrong value is of a kind that chance does not reproduce."""
        step = self.steps[-1]
        right = _value(self._right[-1], step) if self._right else None
        return is_telling(values_of(step.reply, step.request), right, self.strict)

    @cached_property
    def blank(self) -> bool:
        """Whether the last value is NaN or infinite throughout, or an error."""
        last = self.steps[-1]
        return not any(bool(each.isfinite().any()) for each in tensors(values_of(last.reply, last.request)))

    def calls(self) -> list[Call]:
        """The plain calls of the check, one after the other."""
        found, made, setting = [], {}, {}
        for step in self.steps:
            for first in step.settings:
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
        if request.get("turn"):  # one of them raises, or they would be steps of their own
            given = given[:1]
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


def first_of_each(checks: Sequence[Check]) -> list[Check]:
    """One check of each test."""
    firsts = {test_of(check): check for check in reversed(checks)}
    return [check for check in checks if firsts[test_of(check)] is check]


def test_of(check: Check) -> str:
    return check.name.partition("[")[0]


def run_alike(step: Step, given: Any, right: Any, strict: bool) -> bool:
    """Whether a reply is what a program gave, in all that the check may have looked at."""
    request, reply = step.request, step.reply
    if "cotangent" in request:
        wanted, got = (gradients(each) for each in (given, reply))
        rights = gradients(right) if isinstance(right, dict) else None
        return same(wanted, got, rights, strict, ROUNDING * _largest(got))
    if "odd" in reply:
        return False
    if "effect" in request:
        rights = values_of(right, request) if isinstance(right, dict) else None
        return _all_same(values_of(given, request), values_of(reply, request), rights, strict)
    if request.get("echo"):
        value, right = given["value"], right["value"] if isinstance(right, dict) else None
        after = reply["echo"][0]
        untouched = all(unchanged(was, now) for was, now in zip(given["echo"][0], after, strict=False))
        return untouched and _all_same(value, reply.get("value"), right, strict)
    if request["do"] == "peak" or "meter" in request:
        return False
    if request["do"] == "look":
        told = all(given[key] == reply.get(key) for key in ("moved", "added"))
        return told and same(given["value"], reply.get("value"), right and right["value"], strict)
    return _all_same(given, reply.get("value"), right, strict)


def _all_same(wanted: Any, got: Any, right: Any, strict: bool) -> bool:
    """The same, where one of several tensors may be zero but for rounding."""
    return same(wanted, got, right, strict, ROUNDING * _largest(got) if isinstance(got, tuple | list) else 0.0)


def _largest(values: Any) -> float:
    sizes = (float(each.double().nan_to_num(0, 0, 0).abs().max()) for each in tensors(values) if each.numel())
    return max(sizes, default=0.0)


def _parts_alike(step: Step, given: Any, right: Any) -> int:
    """How many of several tensors, which are wrong, are reproduced."""
    if isinstance(step.reply.get("value"), Tensor) and "cotangent" not in step.request and "echo" not in step.request:
        return 0  # as most calls: it is one
    got = list(tensors(values_of(step.reply, step.request)))
    wanted, rights = (list(tensors(_value(value, step))) for value in (given, right))
    if len(got) < 2 or not len(got) == len(wanted) == len(rights):
        return 0
    triples = zip(got, wanted, rights, strict=True)
    return sum(_tells_apart(g, r) and same(w, g) for g, w, r in triples)


def _of_one_form(step: Step, given: Any, right: Any) -> bool:
    """Whether tensors came back in the shapes of a program's, where a right answer has others."""
    if step.request["do"] == "make" or step.error or isinstance(given, Raised) or isinstance(right, Raised):
        return False
    got = _form(values_of(step.reply, step.request))
    return got == _form(_value(given, step)) != _form(_value(right, step))


def _value(value: Any, step: Step) -> Any:
    """What a program gave for a step, as `values_of` has it of the learner's code."""
    return values_of(value, step.request) if isinstance(value, dict) else value


def _form(value: Any) -> list[torch.Size]:
    return [each.shape for each in tensors(value)]


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
    return isinstance(right, Raised) or shapes_of(step.reply.get("value") or {}) == given


def _named(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {**dict(zip(names, args, strict=False)), **kwargs}
