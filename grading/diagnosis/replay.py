"""A check's calls, run again on programs: does a program with mistakes give what the learner's code gave?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch

from grading.diagnosis.lent import Lent
from grading.diagnosis.matching import HALF, is_telling, same, tensors
from grading.diagnosis.program import Program
from grading.diagnosis.raised import Raised
from grading.diagnosis.run import Call, Run, equal
from grading.diagnosis.transcript import (
    Step,
    Transcript,
    gradients,
    shapes_of,
    unchanged,
    value_of,
    values_of,
)

ROUNDING = 1e-6  # of the largest of several tensors: what is as small beside it may be zero
ROUNDING_OF_HALF = 0.5  # the same in half precision, in which a gradient that is zero is a thousandth of the largest


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
    _whole: Sequence[Step] = ()  # its steps, those too that come after a layer that is made wrong
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
        explained, parts, fails, breaks, unmoved = True, 0, True, False, self.compared
        for step in self.steps:
            given = step.right if known else run.step(step.request)
            unmoved = unmoved and (given == step.right if step.request["do"] == "make" else equal(given, step.right))
            if self._alike(step, given, step.right):
                parts += not unmoved and step.wrong == [True]
            else:
                explained, breaks = False, breaks or (isinstance(given, Raised) and step.error is None)
                parts += _parts_alike(step, given) or _of_one_form(step, given)
                fails = fails and isinstance(given, Raised) and given.of_a_kind_with(step.error)
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
            # what has to raise does so before it changes anything
            kept = step.untouched or not isinstance(step.right, Raised)
            return error is not None and error.like(given) and kept
        return run_alike(step, given, right, self.strict)

    def compare_with(self, right: type[Program]) -> None:
        """Take the right answer's values, beside which the learner's are looked at. Nothing in them is lent. What comes
        after a layer that is made wrong says nothing more."""
        self._program, self._whole = right, self.steps
        run, self.compared = Run(right), True
        for i, step in enumerate(self.steps):
            step.right = run.step(step.request)
            if step.request["do"] == "make" and not _made_alike(step, step.right, step.right):
                self.made_right, self.steps = False, self.steps[: i + 1]
                break
        # then the failure is in digits that float32 work has not, or in no number at all
        self.strict = all(self._alike(step, step.right, step.right) for step in self.steps)

    def again(self) -> Check:
        """The same check, to be compared with another program."""
        other = Check(self.name, self.events, self._symbols)
        other.in_order, other.steps = self.in_order, [Step(step.request, step.reply) for step in self._whole]
        return other

    def made_by(self, program: type[Program]) -> Check:
        """The same check, as if its layers had been made with the parameters that a program's have: without the
        gradients of others."""
        run, other = Run(program), self.again()
        shapes: Any = {}
        for i, step in enumerate(other.steps):
            if step.request["do"] == "make":
                shapes = run.step(step.request)
                changed = {} if isinstance(shapes, Raised) else {"value": shapes}
            else:
                found = step.reply.get("parameter_grads") or {}
                changed = {"parameter_grads": {name: each for name, each in found.items() if name in shapes}}
            other.steps[i] = Step(step.request, {**step.reply, **changed})
        return other

    def differs_in_digits(self) -> bool:
        """Whether what it saw differs from the right values in digits that float64 work has, where in no more."""
        if not self.strict:
            return False
        return any(not self._alike(step, step.right, None) for step in self.steps)

    @property
    def asks_for_digits(self) -> bool:
        """Whether it fails what is done in float32 on the way."""
        return "float64_precision" in self.name

    @cached_property
    def telling(self) -> bool:
        """Whether the last wrong value is of a kind that chance does not reproduce."""
        step = self.steps[-1]
        right = value_of(step.right, step.request)
        return is_telling(values_of(step.reply, step.request), right, self.strict)

    @cached_property
    def blank(self) -> bool:
        """Whether the last value is NaN or infinite throughout, or an error."""
        last = self.steps[-1]
        return not any(bool(each.isfinite().any()) for each in last.got)

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
        names = reply.get("parameter_grads") or {}
        wanted, got = gradients(given, names), gradients(reply)
        rights = gradients(right, names) if isinstance(right, dict) else None
        return same(wanted, got, rights, strict, _least(step))
    if "odd" in reply:
        return False
    if "effect" in request:
        rights = values_of(right, request) if isinstance(right, dict) else None
        return _all_same(values_of(given, request), step, rights, strict)
    if request.get("echo"):
        value, right = given["value"], right["value"] if isinstance(right, dict) else None
        after = reply["echo"][0]
        untouched = all(unchanged(was, now) for was, now in zip(given["echo"][0], after, strict=False))
        return untouched and _all_same(value, step, right, strict)
    if request["do"] == "peak" or "meter" in request:
        return False
    if request["do"] == "look":
        told = all(given[key] == reply.get(key) for key in ("moved", "added"))
        return told and same(given["value"], reply.get("value"), right and right["value"], strict)
    return _all_same(given, step, right, strict)


def _all_same(wanted: Any, step: Step, right: Any, strict: bool) -> bool:
    """The same as what came back, where one of several tensors may be zero but for rounding."""
    got = values_of(step.reply, step.request)
    return same(wanted, got, right, strict, _least(step) if isinstance(got, tuple | list) else 0.0)


def _least(step: Step) -> float:
    """The scale of a tensor that may be zero but for rounding."""
    half = any(each.dtype in HALF for each in step.got)
    return (ROUNDING_OF_HALF if half else ROUNDING) * step.largest


def _parts_alike(step: Step, given: Any) -> int:
    """How many of several tensors, which are wrong, are reproduced."""
    if len(step.wrong) < 2:
        return 0
    wanted = list(tensors(value_of(given, step.request)))
    if len(wanted) != len(step.wrong):
        return 0
    return sum(wrong and same(w, got) for wrong, w, got in zip(step.wrong, wanted, step.got, strict=True))


def _of_one_form(step: Step, given: Any) -> bool:
    """Whether tensors came back in the shapes of a program's, where a right answer has others."""
    if step.request["do"] == "make" or step.error or isinstance(given, Raised) or isinstance(step.right, Raised):
        return False
    got, wanted = ([each.shape for each in found] for found in (step.got, step.wanted))
    return got != wanted and got == [each.shape for each in tensors(value_of(given, step.request))]


def _made_alike(step: Step, given: Any, right: Any) -> bool:
    """Parameters of the same names and shapes; where a right answer raises, an error of the same class or none."""
    error = step.error
    if error is not None or isinstance(given, Raised):
        return error is not None and isinstance(given, Raised) and error.type == given.type
    return isinstance(right, Raised) or shapes_of(step.reply.get("value") or {}) == given


def _named(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {**dict(zip(names, args, strict=False)), **kwargs}
