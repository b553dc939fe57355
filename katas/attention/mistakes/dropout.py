"""Mistakes in dropout. Some still differ when everything is dropped, others show in the pattern of what was dropped."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import functional

from grading.diagnosis.matching import same
from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from grading.diagnosis.run import ERRORS, Call
from katas.attention.program import Layer


class Pattern(NamedTuple):
    """What was dropped in a call in training with values that are the identity, side by side: each of a head's weights
    stands in the output twice.

    Shapes are (2, B, H, L, S): two copies of each weight.

    Attributes:
        seen: where there is a weight to be dropped.
        kept: where it was not dropped.
        ratio: what it was multiplied by.
    """

    seen: Tensor
    kept: Tensor
    ratio: Tensor
    rate: float
    kv_heads: int = 1

    def kept_are(self, factor: float) -> bool:
        """Some are dropped, some are not, and those are multiplied by this."""
        close = (self.ratio[self.kept] - factor).abs() < 1e-5 * factor
        return self.thins and bool(close.all())

    @property
    def thins(self) -> bool:
        """Some are dropped, and some are not."""
        return bool(self.kept.any()) and bool((self.seen & ~self.kept).any())

    @property
    def copies_differ(self) -> bool:
        return not self.agree(0)

    @property
    def groups_agree(self) -> bool:
        """Whether the query heads of a group drop the same weights."""
        if not 1 < self.kv_heads < self.kept.size(2):
            return False
        seen, kept, ratio = (each.unflatten(2, (self.kv_heads, -1)) for each in self[:3])  # type: ignore[no-untyped-call]
        return Pattern(seen, kept, ratio, self.rate).agree(3)

    @property
    def queries_agree(self) -> bool:
        return self.agree(3)

    @property
    def drops_the_rest(self) -> bool:
        """As many are kept as should be dropped, and multiplied by 1 / (1 - rate)."""
        if not self.kept_are(1 / (1 - self.rate)):
            return False
        kept, count = float(self.kept[self.seen].double().mean()), int(self.seen.sum())
        wrong, right = (abs(kept - p) for p in (self.rate, 1 - self.rate))
        near = 5 * math.sqrt(self.rate * (1 - self.rate) / count)
        return wrong < near < right

    def agree(self, axis: int) -> bool:
        """Whether a weight is dropped wherever the others along that axis are that can be seen."""
        one, every = self.kept.any(axis), (self.kept | ~self.seen).all(axis)
        return bool((one <= every).all())


_SEEN: WeakKeyDictionary[Check, dict[type[Program], list[Pattern]]] = WeakKeyDictionary()


def patterns(check: Check, right: type[Program]) -> list[Pattern]:
    """One for each call of the check that shows it, whatever mistakes there are in the program besides."""
    known = _SEEN.setdefault(check, {})
    if right not in known:
        known[right] = [found for call in check.calls() if (found := _pattern(call, right))]
    return known[right]


class _Marked(Layer):
    """A program that goes on with other weights than those that are to be dropped."""

    before: Tensor
    instead: Callable[[Tensor], Tensor]

    def drop(self) -> None:
        self.before = self.weights
        self.weights = self.instead(self.weights)


def _pattern(call: Call, right: type[Program]) -> Pattern | None:
    rate, got = call.made.get("dropout"), call.got
    if not (rate and 0 < rate < 1 and call.training and isinstance(got, Tensor)):
        return None
    try:
        layer: Any = call.layer(type(right.__name__, (_Marked, right), {}), training=False)
        layer.instead = torch.zeros_like
        nothing = layer(**call.arguments)
        weights = layer.before
        marks = torch.rand(weights.shape, dtype=got.dtype, generator=torch.Generator().manual_seed(0)) + 1
        layer.instead = lambda _: marks
        places = _places(layer(**call.arguments) - nothing, marks)
    except ERRORS:
        return None
    if places is None or weights.dim() != 4 or nothing.shape != got.shape:
        return None
    copies = (got - nothing).flatten()[places].reshape(2, *weights.shape)
    seen = (weights.abs() > 1e-6).expand_as(copies)
    ratio = torch.where(seen, copies / weights, 0.0)
    return Pattern(seen, ratio.abs() > 1e-6, ratio, float(rate), call.made.get("num_kv_heads", 1))


def _places(output: Tensor, marks: Tensor) -> Tensor | None:
    """Where each mark stands in an output, (2 * marks,); None where it does not stand there twice and as it was."""
    if output.numel() != 2 * marks.numel():
        return None
    found, places = output.flatten().sort(stable=True)
    ordered, order = marks.flatten().sort()
    if not torch.allclose(found.view(-1, 2), ordered[:, None], rtol=0, atol=1e-9):
        return None
    return places.view(-1, 2)[order.argsort()].T.flatten()


class Dropout(Mistake, Layer):
    see = "mha#Dropout"
    enough = 3


class DropoutInEvaluation(Dropout):
    """the dropout does not look at self.training and drops in evaluation too

    Two calls in evaluation differ.
    """

    often = True

    def thinned(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, training=True)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return not issubclass(right, DropoutReversed) and _differs_in_evaluation(check)

    @staticmethod
    def refuted(check: Check, right: type[Program]) -> bool:
        """Nothing is dropped in training."""
        found = patterns(check, right)
        return bool(found) and not any(each.thins for each in found)


class DropoutNever(Dropout):
    """dropout is never applied

    Training with dropout is training without.
    """

    def thinned(self, x: Tensor) -> Tensor:
        return x

    @staticmethod
    def refuted(check: Check, right: type[Program]) -> bool:
        return any(each.thins for each in patterns(check, right))


class DropoutReversed(DropoutNever):
    """dropout is applied in evaluation and not in training

    Two calls in evaluation differ, two in training do not.
    """

    def thinned(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, training=not self.training)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return _differs_in_evaluation(check)


class DropoutOnlyWithAMask(Dropout):
    """dropout is applied where there is a mask alone, as in the branch that fills the scores

    Without a mask, training with dropout is training without.
    """

    def drop(self) -> None:
        if self.mask is not None:
            super().drop()


class DropoutKeepsInstead(Dropout):
    """dropout is the probability of keeping a weight instead of dropping it

    With dropout=0.0 everything is dropped in training.
    """

    def thinned(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 1.0 - self.dropout, training=self.training)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        found = [each for each in patterns(check, right) if not each.copies_differ and each.rate != 0.5]
        return any(each.kept_are(1 / each.rate) or each.drops_the_rest for each in found)


class _KeepsUnlessZero(DropoutKeepsInstead):
    def thinned(self, x: Tensor) -> Tensor:
        return super().thinned(x) if self.dropout else x


class DropoutOnScores(Dropout):
    """dropout acts on the scores before the softmax instead of on the weights after it

    A dropped score is 0, and its key keeps a weight.
    """

    often = True

    def score(self) -> None:
        super().score()
        self.scores = self.thinned(self.scores)

    def drop(self) -> None:
        """It is done."""


class _OnMaskedScores(DropoutOnScores):
    def score(self) -> None:
        super(DropoutOnScores, self).score()

    def temper(self) -> None:
        super().temper()
        self.scores = self.thinned(self.scores)


class DropoutOnQueries(Dropout):
    """dropout acts on the projected queries instead of on the attention weights

    Features of a query vanish, and its scores change.
    """

    def score(self) -> None:
        self.query = self.thinned(self.query)
        super().score()

    def drop(self) -> None:
        """It is done."""


class DropoutOnOutput(Dropout):
    """dropout acts on the output of o_proj instead of on the attention weights

    Features of the output vanish, its bias among them.
    """

    often = True

    def drop(self) -> None:
        """Not here."""

    def finish(self) -> None:
        super().finish()
        self.output = self.thinned(self.output)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        found = patterns(check, right)
        return any(p.kept_are(1 / (1 - p.rate)) and p.copies_differ and not p.queries_agree for p in found)


class DropoutTwice(Dropout):
    """dropout acts on the attention weights and on the output of o_proj too, as a GPT-2 block has it

    Features of the output vanish, its bias among them.
    """

    def finish(self) -> None:
        super().finish()
        self.output = self.thinned(self.output)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return any(each.kept_are((1 - each.rate) ** -2) for each in patterns(check, right))


class DropoutOnValues(Dropout):
    """dropout acts on the projected values instead of on the attention weights

    A feature of a value vanishes for all queries at once.
    """

    def share(self) -> None:
        self.value = self.thinned(self.value)
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
        self.value = self.thinned(self.value)
        super().weigh()


class DropoutOnHeads(Dropout):
    """dropout acts on the output of the heads before o_proj instead of on the attention weights

    Single features of a head vanish, and not a key for all of them.
    """

    def drop(self) -> None:
        """Not here."""

    def merge(self) -> None:
        super().merge()
        self.output = self.thinned(self.output)

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
        self.output = self.thinned(self.output)


class DropoutUnscaled(Dropout):
    """the weights that are kept are not divided by 1 - dropout

    The outputs are smaller in training than in evaluation.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return any(each.kept_are(1.0) and not each.copies_differ for each in patterns(check, right))

    @staticmethod
    def refuted(check: Check, right: type[Program]) -> bool:
        """What is kept is divided by something."""
        return any(each.thins and not each.kept_are(1.0) for each in patterns(check, right))


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
        return any(a.kept.shape == b.kept.shape and a.thins and torch.equal(a.kept, b.kept) for a, b in pairs)


class DropoutShared(Dropout):
    """one pattern is drawn for all heads, the heads of a group, or all sequences, and dropped from each of them alike

    Heads, or sequences, lose the same keys.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        found = _scaled_patterns(check, right)
        return any(each.agree(1) or each.agree(2) or each.groups_agree for each in found)


class DropoutOfWholeHeads(Dropout):
    """all the weights of a head are dropped together, as nn.Dropout2d does, instead of each for itself

    A head is lost for a whole sequence, or not at all.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        found = _scaled_patterns(check, right)
        return any(each.queries_agree and each.agree(4) for each in found)


def _scaled_patterns(check: Check, right: type[Program]) -> list[Pattern]:
    """Those in which weights are dropped, and the others are scaled as they should be."""
    return [each for each in patterns(check, right) if each.kept_are(1 / (1 - each.rate)) and not each.copies_differ]


def _differs_in_evaluation(check: Check) -> bool:
    """Of two calls in evaluation with the same inputs one differs from the other."""
    calls = [call for call in check.calls() if call.made.get("dropout") and not call.training]
    pairs = [(a, b) for a, b in pairwise(calls) if a.same_inputs(b)]
    return any(isinstance(a.got, Tensor) and not same(a.got, b.got) for a, b in pairs)


def _sums_to_one(pattern: Pattern) -> bool:
    """All weights were equal before, so that each is one of as many parts as can be seen."""
    sums, seen = pattern.ratio[0].sum(dim=-1), pattern.seen[0].sum(dim=-1)
    left = pattern.kept[0].any(dim=-1)
    return pattern.thins and bool(left.any()) and bool(((sums / seen)[left] - 1).abs().max() < 1e-5)
