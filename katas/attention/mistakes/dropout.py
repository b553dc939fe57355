"""Mistakes in dropout. Some still differ when everything is dropped, others show in the pattern of what was dropped."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from grading.diagnosis.matching import same
from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from grading.diagnosis.run import Call
from katas.attention.program import Layer


class Pattern(NamedTuple):
    """Of a call in training with values that are the identity, side by side: a head's output is its weights, twice.

    `ratio` (B, H, L, 2, S) is what each weight was multiplied by, in each of its copies; `kept` is where that is not 0.
    """

    kept: Tensor
    ratio: Tensor
    rate: float

    def kept_are(self, factor: float) -> bool:
        """Some are dropped, some are not, and those are multiplied by this."""
        close = (self.ratio[self.kept] - factor).abs() < 1e-5 * factor
        dropped = self.ratio == 0  # what the mask hides has no ratio
        return bool(self.kept.any()) and bool(dropped.any()) and bool(close.all())

    @property
    def copies_differ(self) -> bool:
        return not torch.equal(self.kept[..., 0, :], self.kept[..., 1, :])

    @property
    def queries_agree(self) -> bool:
        return bool((self.kept == self.kept[:, :, :1]).all())


def patterns(check: Check, right: type[Program]) -> list[Pattern]:
    """One for each call of the check that shows it; none where a step before it is wrong, which may look alike."""
    before = ["project", "split", "share", "normalise", "merge"] + ["align", "orient", "fill", "clear"] * check.has_mask
    if any(_is_wrong(right, step) for step in before):
        return []
    return [found for call in check.calls() if (found := _pattern(call, right))]


def _is_wrong(program: type[Program], step: str) -> bool:
    """Whether a mistake is made in that step; what is right in another style is none."""
    owner = next(each for each in program.__mro__ if step in vars(each))
    return issubclass(owner, Mistake) and not owner.sound


def _pattern(call: Call, right: type[Program]) -> Pattern | None:
    rate, got = call.made.get("dropout"), call.got
    if not (rate and 0 < rate < 1 and call.training and isinstance(got, Tensor)):
        return None
    value, heads = call.arguments["value"], int(call.made["num_heads"])
    S = value.size(1)
    identity = torch.eye(S, dtype=value.dtype).repeat(1, 2 * heads)
    if value.shape[1:] != identity.shape or not torch.equal(value[0], identity):
        return None
    full = call.run(right, training=False)
    if not isinstance(full, Tensor) or full.shape != got.shape:
        return None
    ratio = (got / full).unflatten(-1, (heads, 2, S)).transpose(1, 2)  # type: ignore[no-untyped-call]
    return Pattern(ratio.abs() > 1e-6, ratio, float(rate))


class Dropout(Mistake, Layer):
    see = "mha#Dropout"
    last = True


class DropoutInEvaluation(Dropout):
    """the dropout does not look at self.training and drops in evaluation too

    Two calls in evaluation differ.
    """

    def drop(self) -> None:
        self.weights = functional.dropout(self.weights, self.dropout, training=True)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return _differs_in_evaluation(check)


class DropoutNever(Dropout):
    """dropout is never applied

    Training with dropout is training without.
    """

    def drop(self) -> None:
        """Left out."""

    @staticmethod
    def refuted(check: Check, right: type[Program]) -> bool:
        return any(_thins(each) for each in patterns(check, right))


class DropoutReversed(DropoutNever):
    """dropout is applied in evaluation and not in training

    Two calls in evaluation differ, two in training do not.
    """

    def drop(self) -> None:
        self.weights = functional.dropout(self.weights, self.dropout, training=not self.training)


class DropoutKeepsInstead(Dropout):
    """dropout is the probability of keeping a weight instead of dropping it

    With dropout=0.0 everything is dropped in training.
    """

    def drop(self) -> None:
        self.weights = functional.dropout(self.weights, 1.0 - self.dropout, training=self.training)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return any(each.kept_are(1 / each.rate) and not each.copies_differ for each in patterns(check, right))


class _KeepsUnlessZero(DropoutKeepsInstead):
    def drop(self) -> None:
        if self.dropout:
            super().drop()


class DropoutOnScores(Dropout):
    """dropout acts on the scores before the softmax instead of on the weights after it

    A dropped score is 0, and its key keeps a weight.
    """

    def score(self) -> None:
        super().score()
        self.scores = functional.dropout(self.scores, self.dropout, training=self.training)

    def drop(self) -> None:
        """It is done."""


class _OnMaskedScores(DropoutOnScores):
    def score(self) -> None:
        super(DropoutOnScores, self).score()

    def normalise(self) -> None:
        self.scores = functional.dropout(self.scores, self.dropout, training=self.training)
        super().normalise()


class DropoutOnQueries(Dropout):
    """dropout acts on the projected queries instead of on the attention weights

    Features of a query vanish, and its scores change.
    """

    def score(self) -> None:
        self.query = functional.dropout(self.query, self.dropout, training=self.training)
        super().score()

    def drop(self) -> None:
        """It is done."""


class DropoutOnOutput(Dropout):
    """dropout acts on the output of o_proj instead of on the attention weights

    Features of the output vanish, its bias among them.
    """

    def drop(self) -> None:
        """Not here."""

    def project_out(self) -> None:
        super().project_out()
        self.output = functional.dropout(self.output, self.dropout, training=self.training)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        found = patterns(check, right)
        return any(p.kept_are(1 / (1 - p.rate)) and p.copies_differ and not p.queries_agree for p in found)


class DropoutTwice(Dropout):
    """dropout acts on the attention weights and on the output of o_proj too, as a GPT-2 block has it

    Features of the output vanish, its bias among them.
    """

    def project_out(self) -> None:
        super().project_out()
        self.output = functional.dropout(self.output, self.dropout, training=self.training)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return any(each.kept_are((1 - each.rate) ** -2) for each in patterns(check, right))


class DropoutOnValues(Dropout):
    """dropout acts on the projected values instead of on the attention weights

    A feature of a value vanishes for all queries at once.
    """

    def share(self) -> None:
        self.value = functional.dropout(self.value, self.dropout, training=self.training)
        super().share()

    def drop(self) -> None:
        """It is done."""

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        found = patterns(check, right)
        return any(p.kept_are(1 / (1 - p.rate)) and p.copies_differ and p.queries_agree for p in found)


class _OnSharedValues(DropoutOnValues):
    def share(self) -> None:
        super(DropoutOnValues, self).share()

    def weigh(self) -> None:
        self.value = functional.dropout(self.value, self.dropout, training=self.training)
        super().weigh()


class DropoutOnHeads(Dropout):
    """dropout acts on the output of the heads before o_proj instead of on the attention weights

    Single features of a head vanish, and not a key for all of them.
    """

    def drop(self) -> None:
        """Not here."""

    def merge(self) -> None:
        super().merge()
        self.output = functional.dropout(self.output, self.dropout, training=self.training)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        if issubclass(right, DropoutOnOutput | DropoutTwice):  # which looks alike where o_proj is the identity
            return False
        found = patterns(check, right)
        return any(p.kept_are(1 / (1 - p.rate)) and p.copies_differ and not p.queries_agree for p in found)


class _BeforeMerging(DropoutOnHeads):
    def merge(self) -> None:
        super(DropoutOnHeads, self).merge()

    def weigh(self) -> None:
        super().weigh()
        self.output = functional.dropout(self.output, self.dropout, training=self.training)


class DropoutUnscaled(Dropout):
    """the weights that are kept are not divided by 1 - dropout

    The outputs are smaller in training than in evaluation.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return any(each.kept_are(1.0) and not each.copies_differ for each in patterns(check, right))


class DropoutRenormalised(Dropout):
    """the weights that are kept are divided by their sum instead of by 1 - dropout

    The weights of a query sum to 1 in training too, and dropout takes nothing away.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return any(_sums_to_one(each) for each in patterns(check, right))


class DropoutFixed(Dropout):
    """the same weights are dropped in every call: the pattern is drawn once, or the generator is seeded

    Training never sees the weights that were dropped first.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        found = patterns(check, right)
        pairs = pairwise(found)
        return any(a.kept.shape == b.kept.shape and _thins(a) and torch.equal(a.kept, b.kept) for a, b in pairs)


class DropoutShared(Dropout):
    """one pattern is drawn for all heads, or all sequences, and dropped from each of them alike

    Heads, or sequences, lose the same keys.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        found = [p for p in patterns(check, right) if p.kept_are(1 / (1 - p.rate)) and not p.copies_differ]
        return any(bool((each.kept == each.kept.narrow(axis, 0, 1)).all()) for each in found for axis in (0, 1))


def _differs_in_evaluation(check: Check) -> bool:
    """Of two calls in evaluation with the same inputs one differs from the other."""
    calls = [call for call in check.calls() if call.made.get("dropout") and not call.training]
    pairs = [(a, b) for a, b in pairwise(calls) if a.same_inputs(b)]
    return any(isinstance(a.got, Tensor) and not same(a.got, b.got) for a, b in pairs)


def _thins(pattern: Pattern) -> bool:
    return bool(pattern.kept.any()) and not bool(pattern.kept.all())


def _sums_to_one(pattern: Pattern) -> bool:
    """All weights were equal before, so that each is one S-th of its ratio."""
    sums = pattern.ratio[..., 0, :].mean(dim=-1)
    left = sums.abs() > 1e-6
    return _thins(pattern) and bool(left.any()) and bool(((sums[left] - 1).abs() < 1e-5).all())
