"""Mistakes in the pairs: their layout, and the turn itself."""

from __future__ import annotations

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.rope.program import Rotation, apart, halves, neighbours


class Layout(Mistake, Rotation):
    see = "rope#Two-layouts"


class Turn(Mistake, Rotation):
    see = "rope#One-pair"


# ---------------------------------------------------------------------------------------------- layout


class InterleavedIgnored(Layout):
    """the pairs are those of the default layout, whatever interleaved says

    Weights that were trained with neighbours as pairs give fluent nonsense.
    """

    def choose_layout(self) -> None:
        self.interleaved = False


class InterleavedAlways(Layout):
    """neighbours are pairs, whatever interleaved says

    Weights that were trained with the two halves as pairs give fluent nonsense.
    """

    def choose_layout(self) -> None:
        self.interleaved = True


class LayoutsExchanged(Layout):
    """interleaved=True pairs the two halves, and interleaved=False the neighbours

    Each is right by itself, under the other's name.
    """

    def choose_layout(self) -> None:
        self.interleaved = not self.interleaved


class AnglesConcatenated(Layout):
    """the angles are laid out as halves (cat) although neighbours are pairs, so that a pair has two angles

    Right with interleaved=False.
    """

    def spread_angles(self) -> None:
        self.angle = halves(self.angle, self.angle)


class AnglesRepeated(Layout):
    """each angle is repeated side by side (repeat_interleave) although the halves are pairs: a pair has two angles

    Right with interleaved=True.
    """

    def spread_angles(self) -> None:
        self.angle = neighbours(self.angle, self.angle)


class AnglesOfOtherLayout(Layout):
    """in both layouts the angles are laid out as in the other one, so that a pair has two angles

    It is no rotation any more: lengths change.
    """

    def spread_angles(self) -> None:
        self.angle = halves(self.angle, self.angle) if self.interleaved else neighbours(self.angle, self.angle)


class PartnersOfHalves(Layout):
    """every feature meets the one half a head away (rotate_half) although neighbours have the angle in common

    Right with interleaved=False.
    """

    def find_partners(self) -> None:
        a, b = apart(self.x, False)
        self.partner = halves(-b, a)


class PartnersOfNeighbours(Layout):
    """every feature meets its neighbour although the features half a head apart have the angle in common

    Right with interleaved=True.
    """

    def find_partners(self) -> None:
        a, b = apart(self.x, True)
        self.partner = neighbours(-b, a)


class HalvesComeOut(Layout):
    """with interleaved=True the turned features come out as two halves instead of alternating

    Scores are right where queries and keys are treated alike, and the output is not in the layout of x.
    """

    def put_back(self) -> None:
        if self.interleaved:
            self.turned = halves(*apart(self.turned, True))


class NeighboursComeOut(Layout):
    """with interleaved=False the turned features come out alternating instead of as two halves

    Scores are right where queries and keys are treated alike, and the output is not in the layout of x.
    """

    def put_back(self) -> None:
        if not self.interleaved:
            self.turned = neighbours(*apart(self.turned, False))


class PairsNotFlattened(Layout):
    """the two features of a pair stay on an axis of their own: (..., E/2, 2), or (..., 2, E/2)

    A stack adds an axis, which is to be flattened away.
    """

    def put_back(self) -> None:
        if self.interleaved:
            self.turned = torch.stack(apart(self.turned, True), dim=-1)


class _NeverFlattened(PairsNotFlattened):
    def put_back(self) -> None:
        self.turned = torch.stack(apart(self.turned, self.interleaved), dim=-1)


class _StackedHalves(PairsNotFlattened):
    def put_back(self) -> None:
        self.turned = torch.stack(apart(self.turned, self.interleaved), dim=-1 if self.interleaved else -2)


# ------------------------------------------------------------------------------------------------ turn


class NothingTurned(Turn):
    """the output is x itself: nothing is turned

    Attention does not see order then.
    """

    def turn(self) -> None:
        self.turned = self.x

    @staticmethod
    def refuted(check: Check, right: type[Program]) -> bool:
        """An output that is not x itself: a pair that makes whole turns only looks as if it had made none."""
        step = check.steps[-1]
        got, given = step.reply.get("value"), step.request.get("args") or [None]
        return isinstance(got, Tensor) and got.shape == given[0].shape and not torch.equal(got, given[0])


class TurnedBackwards(Turn):
    """every pair is turned by minus its angle: (a cos + b sin, b cos - a sin)

    Scores of queries and keys that are both turned so are right, and cached keys of others do not fit.
    """

    def find_partners(self) -> None:
        super().find_partners()
        self.partner = -self.partner


class _TurnedBackwardsInHalves(TurnedBackwards):
    def find_partners(self) -> None:
        a, b = self.pairs()
        self.partner = neighbours(-b, a) if self.interleaved else halves(b, -a)


class _TurnedBackwardsInNeighbours(TurnedBackwards):
    def find_partners(self) -> None:
        a, b = self.pairs()
        self.partner = neighbours(b, -a) if self.interleaved else halves(-b, a)


class MinusForgotten(Turn):
    """the minus is missing: (a cos + b sin, a sin + b cos)

    It is no rotation: lengths change.
    """

    def find_partners(self) -> None:
        a, b = self.pairs()
        self.partner = neighbours(b, a) if self.interleaved else halves(b, a)


class _MinusForgottenInHalves(MinusForgotten):
    def find_partners(self) -> None:
        a, b = self.pairs()
        self.partner = neighbours(-b, a) if self.interleaved else halves(b, a)


class _MinusForgottenInNeighbours(MinusForgotten):
    def find_partners(self) -> None:
        a, b = self.pairs()
        self.partner = neighbours(b, a) if self.interleaved else halves(-b, a)


class CosSinExchanged(Turn):
    """cosine and sine are exchanged: (a sin - b cos, a cos + b sin)

    Position 0 is turned by a quarter.
    """

    def turn(self) -> None:
        self.turned = self.x * self.angle.sin() + self.partner * self.angle.cos()


class FirstOverwritten(Turn):
    """the second feature of a pair is computed from the first one that is turned already

    The slice that a name stands for is overwritten before it is read again.
    """

    def turn(self) -> None:
        super().turn()
        self._second_of(*apart(self.turned, self.interleaved))

    def _second_of(self, first: Tensor, second: Tensor) -> None:
        a, b = self.pairs()
        cos, sin = (apart(table, self.interleaved)[1] for table in (self.angle.cos(), self.angle.sin()))
        second = self._second(a, b, first, cos, sin)
        self.turned = neighbours(first, second) if self.interleaved else halves(first, second)

    def _second(self, a: Tensor, b: Tensor, first: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return first * sin + b * cos


class SecondLikeFirst(FirstOverwritten):
    """the second feature of a pair is a cos + b sin instead of a sin + b cos

    The line of the first feature is copied, and only its sign changed.
    """

    def _second(self, a: Tensor, b: Tensor, first: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return a * cos + b * sin


class SecondNotTurned(FirstOverwritten):
    """the second feature of a pair is a sin - b cos, or b cos - a sin, instead of a sin + b cos

    A sign is wrong in one of the two lines: it is no rotation.
    """

    def _second(self, a: Tensor, b: Tensor, first: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return a * sin - b * cos


class _SecondTurnedBack(SecondNotTurned):
    def _second(self, a: Tensor, b: Tensor, first: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return b * cos - a * sin
