"""What people do wrong in the temperature and in top-k."""

from __future__ import annotations

import re

import torch

from grading.diagnosis.matching import are_float32, tensors
from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.sampling.program import NextTokenProbs, at_least_float32


class Temperature(Mistake, NextTokenProbs):
    see = "sampling#Temperature"


class TopK(Mistake, NextTokenProbs):
    see = "sampling#Top-k"


class TemperatureIgnored(Temperature):
    """the temperature is not used, or cancels out

    Dividing probabilities by it and renormalising them changes nothing.
    """

    def cool(self) -> None:
        pass


class TemperatureMultiplied(Temperature):
    """the logits are multiplied by the temperature instead of divided by it

    A high temperature sharpens the distribution, and a low one flattens it.
    """

    def cool(self) -> None:
        self.scores = self.scores * self.temperature


class TemperatureAfterFilter(Temperature):
    """the filters look at the logits before they are divided by the temperature

    top_p then counts probabilities that nothing is drawn from; top_k does not notice.
    """

    def cool(self) -> None:
        pass

    def reheat(self) -> None:
        self.scores, self.cooled = self.scores / self.temperature, self.cooled / self.temperature


class TemperatureOnProbabilities(Temperature):
    """the probabilities are divided by the temperature, and not the logits

    The shares stay as they were, and they sum to 1 / temperature.
    """

    def cool(self) -> None:
        pass

    def finish(self) -> None:
        super().finish()
        self.probs = self.probs / self.temperature


class WorkInHalf(Temperature):
    """logits in half precision are worked on in half precision: the division by the temperature, or the sums, too

    A quotient near 100 is off by 0.03 in float16 and by 0.25 in bfloat16, a probability by as large a share.
    """

    see = "sampling#Rounding"

    def widen(self) -> None:
        pass


class _DivisionInHalf(WorkInHalf):
    def cool(self) -> None:
        self.scores = at_least_float32(self.scores / self.temperature)


class WorkInFloat32(WorkInHalf):
    """float64 logits are worked on in float32

    The probabilities have 7 digits instead of 16.
    """

    def widen(self) -> None:
        self.scores = self.scores.float()

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return check.strict and any(map(are_float32, tensors(check.steps[-1].reply.get("value"))))


class LogitsModified(Temperature):
    """next_token_probs changes the logits that it is given in place

    The caller's logits are not what they were.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return "logits" in check.modified()


# ------------------------------------------------------------------------------------------------------------ top-k


class TopKIgnored(TopK):
    """top_k is not used

    Every token may be drawn.
    """

    def cut_k(self, top_k: int) -> None:
        pass


class TopKIgnoredWithTopP(TopK):
    """top_k is not used where top_p is given, too

    One of the filters is left out, as with elif.
    """

    def choose(self) -> None:
        self.top_k = self.top_k if self.top_p is None else None


class TopPIgnoredWithTopK(TopKIgnoredWithTopP):
    """top_p is not used where top_k is given, too

    One of the filters is left out, as with elif.
    """

    see = "sampling#Top-p"

    def choose(self) -> None:
        self.top_p = self.top_p if self.top_k is None else None


class TopKOneMore(TopK):
    """top_k keeps one token more than it says

    The threshold is the token after the last.
    """

    def cut_k(self, top_k: int) -> None:
        super().cut_k(top_k + 1)


class TopKOneLess(TopK):
    """top_k keeps one token less than it says

    A comparison with the k-th logit drops the k-th itself.
    """

    def cut_k(self, top_k: int) -> None:
        values = self.scores.gather(-1, self.order)[:, : top_k or 1]
        self.allowed = self.scores > values[:, -1:]


class _OneLessByRank(TopKOneLess):
    def cut_k(self, top_k: int) -> None:
        super(TopKOneLess, self).cut_k(top_k - 1)


class TopKTiesKept(TopK):
    """of tokens that tie for the k-th place, top_k keeps all

    A comparison with the k-th logit cannot tell them apart: more than k tokens are left.
    """

    def cut_k(self, top_k: int) -> None:
        values = self.scores.gather(-1, self.order)[:, :top_k]
        self.allowed = self.scores >= values[:, -1:]


class TiesFromTheEnd(TopK):
    """of tokens with equal logits, those with the higher ids come first

    An order from the least to the most probable that is read from the end turns ties round.
    """

    def arrange(self) -> None:
        self.order = self._from_the_end()

    def _from_the_end(self) -> torch.Tensor:
        return self.scores.argsort(dim=-1, stable=True).flip(-1)


class _TiesFromTheEndInTopP(TiesFromTheEnd):
    def arrange(self) -> None:
        super(TiesFromTheEnd, self).arrange()

    def arrange_p(self) -> None:
        self.order = self._from_the_end()


class _TiesFromTheEndInTopK(TiesFromTheEnd):
    def arrange_p(self) -> None:
        super(TiesFromTheEnd, self).arrange()


class TopKLowest(TopK):
    """top_k keeps the tokens of the lowest logits

    The order is from the least to the most probable token.
    """

    def cut_k(self, top_k: int) -> None:
        size = self.order.size(1)
        self.allowed = self.by_id(torch.arange(size).expand_as(self.order) >= size - top_k)


class _TopKAscending(TopKLowest):
    def cut_k(self, top_k: int) -> None:
        self.order = self.scores.argsort(dim=-1, stable=True)
        super(TopKLowest, self).cut_k(top_k)


class TopKFirstIds(TopK):
    """top_k keeps the tokens with the ids 0 to k - 1: ranks are taken for ids

    A cut of the sorted order is applied to logits that are not sorted.
    """

    see = "sampling#Back-to-ids"

    def cut_k(self, top_k: int) -> None:
        self.allowed = torch.arange(self.order.size(1)).expand_as(self.order) < top_k


class TopKOfFirstRow(TopK):
    """the k-th logit of the first row is the threshold of all rows

    Right for a batch of one.
    """

    see = "sampling#Back-to-ids"

    def cut_k(self, top_k: int) -> None:
        values = self.scores.gather(-1, self.order)[:1, :top_k]
        self.allowed = self.scores >= values[:, -1:]


class TopKOfBatch(TopK):
    """top_k keeps the k tokens of the highest logits of the whole batch, not of each row

    Right for a batch of one; a row may be left without a token.
    """

    see = "sampling#Back-to-ids"

    def cut_k(self, top_k: int) -> None:
        self._above(min(top_k, self.scores.size(-1)))

    def _above(self, top_k: int) -> None:
        self.allowed = self.scores >= self.scores.flatten().sort(descending=True).values[:top_k][-1]


class _BeyondTheVocabulary(TopKOfBatch):
    def cut_k(self, top_k: int) -> None:
        self._above(top_k)


class TopKAboveVocabulary(TopK):
    """a top_k above the size of the vocabulary is an error

    torch.topk and an index of k - 1 ask for as many tokens as there are; a slice does not.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        asked = check.calls()[-1].arguments
        top_k, logits = asked.get("top_k"), asked.get("logits")
        error = check.steps[-1].error
        beyond = error is not None and re.search("out of (range|bounds)", error.message)
        return bool(beyond and top_k and logits is not None and top_k > logits.size(-1))
