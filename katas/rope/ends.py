"""Mistakes before and after the turn: what is refused, what the inputs come to, and how the result goes out."""

from __future__ import annotations

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from grading.diagnosis.transcript import gradients
from katas.rope.program import Rotation


class Ends(Mistake, Rotation):
    see = "rope#Inputs-and-errors"


class RotationNotCastBack(Ends):
    """the result stays in the float32 of the angles instead of taking the dtype of x

    Half precision comes out as float32, and the next product with a half tensor raises an error.
    """

    def restore_dtype(self) -> None:
        """The dtype of the work."""


class _Float32ForAll(RotationNotCastBack):
    def restore_dtype(self) -> None:
        self.turned = self.turned.float()


class OddWidthUnchecked(Ends):
    """an odd head_dim is not refused with a ValueError

    It ends in an error about shapes, or in features that are left out.
    """

    def validate_width(self) -> None:
        """Nothing is checked."""

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return check.should_raise() == "ValueError" and check.raised() in ("", "RuntimeError", "IndexError")


class AssertOnOddWidth(Ends):
    """an odd head_dim is refused with assert, which raises AssertionError instead of ValueError

    python -O takes the check away.
    """

    needs = ("validate_width",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return check.should_raise() == "ValueError" and check.raised() == "AssertionError"


class XTurnedInPlace(Ends):
    """x is turned in place: the caller's tensor is not what it was

    A key that is turned twice has the angle of another position.
    """

    needs = ("turn",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return "x" in check.modified() or check.changes_a_leaf


class PositionsChangedInPlace(Ends):
    """positions is changed in place, its shape or its numbers

    The next layer, which is handed the same tensor, turns by others.
    """

    needs = ("count_positions",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return "positions" in check.modified()


class StridesAssumed(Ends):
    """x is viewed in a way that its strides do not allow (view, view_as_complex)

    Heads that were split off by a transpose, or parts of a fused projection, raise an error.
    """

    needs = ("turn",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        step = check.steps[-1]
        words = step.error.message if step.error and "cotangent" not in step.request else ""
        return "stride" in words or "reshape(...) instead" in words


class RotationCutOff(Ends):
    """x is detached, or the rotation is done under no_grad: no gradient gets past it

    The output is right, and the projections before it are never trained.
    """

    needs = ("turn",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        step = check.steps[-1]
        return "cotangent" in step.request and not step.error and gradients(step.reply)[0] is None
