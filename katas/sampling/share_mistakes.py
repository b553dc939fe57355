"""What people do wrong with what the filters leave, and with options out of range."""

from __future__ import annotations

import math

import torch

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.sampling.program import NextTokenProbs


class Left(Mistake, NextTokenProbs):
    see = "sampling#What-is-left"


class NotRenormalised(Left):
    """what is left of a row is not renormalised: it sums to less than 1

    The probabilities are those that the tokens had before the others were dropped.
    """

    def share(self) -> None:
        self.probs = self.cooled.softmax(-1) * (self.scores > -math.inf)


class _WhatTopPLeft(NotRenormalised):
    def arrange_p(self) -> None:
        self.before_top_p = self.scores
        super().arrange_p()

    def share(self) -> None:
        before = self.scores if self.top_p is None else self.before_top_p
        self.probs = before.softmax(-1) * (self.scores > -math.inf)


class _WhatTopKLeft(NotRenormalised):
    def share(self) -> None:
        self.probs = self.scores.softmax(-1)
        if self.top_p is None:
            self.probs = self.cooled.softmax(-1) * (self.scores > -math.inf)


class ZeroForDropped(Left):
    """the logit of a token that is dropped becomes 0 instead of -inf

    exp(0) is 1: such a token may get more than those that are kept.
    """

    def hide(self) -> None:
        self.scores = self.scores.masked_fill(~self.allowed, 0.0)


class SoftmaxOfProbabilities(Left):
    """the softmax is taken of probabilities: it is applied twice

    All that is left is nearly equally probable, for probabilities differ by less than 1.
    """

    def share(self) -> None:
        probs = self.cooled.softmax(-1).masked_fill(self.scores == -math.inf, -math.inf)
        self.probs = probs.softmax(-1)


class _OfWhatIsLeft(SoftmaxOfProbabilities):
    def share(self) -> None:
        probs = self.scores.softmax(-1).masked_fill(self.scores == -math.inf, -math.inf)
        self.probs = probs.softmax(-1)


class _OfAll(SoftmaxOfProbabilities):
    def share(self) -> None:
        self.probs = self.scores.softmax(-1).softmax(-1)


class SoftmaxOverRows(Left):
    """the softmax is taken over the rows of the batch, and not over the tokens

    Each token's column sums to 1.
    """

    def share(self) -> None:
        self.probs = self.scores.softmax(0)


class LogitsReturned(Left):
    """next_token_probs returns the filtered logits, not their softmax

    They have -inf where a token is dropped.
    """

    def share(self) -> None:
        self.probs = self.scores


class LogProbsReturned(LogitsReturned):
    """next_token_probs returns the logarithms of the probabilities

    They have -inf where a token is dropped.
    """

    def share(self) -> None:
        self.probs = self.scores.log_softmax(-1)


class ExpWithoutMaximum(Left):
    """exp is taken of the logits without the maximum being subtracted

    exp(1000) is infinite and exp(-1000) is 0: the row becomes NaN.
    """

    see = "sampling#Rounding"

    def share(self) -> None:
        weights = self.scores.exp()
        self.probs = weights / weights.sum(-1, keepdim=True)


class _ExpOfAll(ExpWithoutMaximum):
    def share(self) -> None:
        weights = self.cooled.exp() * (self.scores > -math.inf)
        self.probs = weights / weights.sum(-1, keepdim=True)


class GreedyWithFilter(Left):
    """the most probable token gets 1 as soon as there is a filter

    Nothing is left to chance: that is top_k=1.
    """

    def share(self) -> None:
        super().share()
        if self.top_k is not None or self.top_p is not None:
            self.probs = self._best()

    def _best(self) -> torch.Tensor:
        return torch.zeros_like(self.scores).scatter(-1, self.scores.argmax(-1, keepdim=True), 1.0)


class _GreedyWithTopP(GreedyWithFilter):
    def share(self) -> None:
        super(GreedyWithFilter, self).share()
        if self.top_p is not None:
            self.probs = self._best()


class _GreedyWithTopK(GreedyWithFilter):
    def share(self) -> None:
        super(GreedyWithFilter, self).share()
        if self.top_k is not None:
            self.probs = self._best()


class SortNotUndone(Left):
    """the probabilities come back in the order of their size, and not by id

    Place 0 is the most probable token, whichever that is.
    """

    see = "sampling#Back-to-ids"

    def restore(self) -> None:
        if self._sorted():
            self._misplace()

    def _sorted(self) -> bool:
        return True

    def _misplace(self) -> None:
        self.probs = self.probs.gather(-1, self._ranked())

    def _ranked(self) -> torch.Tensor:
        return self.cooled.argsort(dim=-1, descending=True, stable=True)


class _ForFilters(SortNotUndone):
    def _sorted(self) -> bool:
        return self.top_k is not None or self.top_p is not None


class _ForTopP(SortNotUndone):
    def _sorted(self) -> bool:
        return self.top_p is not None


class _ForTopPBelowOne(SortNotUndone):
    def _sorted(self) -> bool:
        return self.top_p is not None and self.top_p < 1


class _ForTopK(SortNotUndone):
    def _sorted(self) -> bool:
        return self.top_k is not None


class SortUndoneByGather(SortNotUndone):
    """sorted probabilities are brought back to ids by gather with the order, which is not its inverse

    Right where the order is its own inverse, as for two tokens; scatter is the inverse of gather.
    """

    def _misplace(self) -> None:
        order = self._ranked()
        self.probs = self.probs.gather(-1, order).gather(-1, order)


class _GatherForFilters(SortUndoneByGather, _ForFilters):
    pass


class _GatherForTopP(SortUndoneByGather, _ForTopP):
    pass


class _GatherForTopPBelowOne(SortUndoneByGather, _ForTopPBelowOne):
    pass


class AlwaysFloat32(Left):
    """the probabilities are float32 whatever the dtype of the logits is

    The work is done in float32, and the way back is missing.
    """

    see = "sampling#Rounding"

    def finish(self) -> None:
        self.probs = self.probs.float()


class _AlwaysFloat64(AlwaysFloat32):
    def finish(self) -> None:
        self.probs = self.probs.double()


# ------------------------------------------------------------------------------------------------- options refused


class Refusal(Mistake, NextTokenProbs):
    see = "sampling#Temperature"


class TemperatureNotRefused(Refusal):
    """a temperature of 0 or below raises no ValueError

    A division by 0 gives NaN, and a negative one prefers the least probable token.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return unrefused(check) and check.calls()[-1].arguments.get("temperature", 1) <= 0


class TopKNotRefused(Refusal):
    """a top_k below 1 raises no ValueError

    With 0, nothing is left; -3 is a slice from the other end.
    """

    see = "sampling#Top-k"

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        top_k = check.calls()[-1].arguments.get("top_k")
        return unrefused(check) and top_k is not None and top_k < 1


class TopPNotRefused(Refusal):
    """a top_p of 0 or below, or above 1, raises no ValueError

    A percentage such as 90 keeps all, and 0 keeps nothing or one token.
    """

    see = "sampling#Top-p"

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        top_p = check.calls()[-1].arguments.get("top_p")
        return unrefused(check) and top_p is not None and not 0 < top_p <= 1


def unrefused(check: Check) -> bool:
    """Whether a ValueError is wanted, and none was raised."""
    return check.should_raise() == "ValueError" and check.raised() != "ValueError"
