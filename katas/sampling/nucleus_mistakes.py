"""What people do wrong in top-p."""

from __future__ import annotations

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.sampling.program import NextTokenProbs


class TopP(Mistake, NextTokenProbs):
    see = "sampling#Top-p"


class Ids(Mistake, NextTokenProbs):
    see = "sampling#Back-to-ids"


class TopPIgnored(TopP):
    """top_p is not used

    Every token that top_k left may be drawn.
    """

    def cut_p(self, top_p: float) -> None:
        self.nucleus = torch.ones_like(self.mass, dtype=torch.bool)


class CrossingDropped(TopP):
    """the token that crosses top_p is dropped

    What is left has less than top_p; where the first token has more than that by itself, nothing is left.
    """

    def add_up(self) -> None:
        self.before = self.mass.cumsum(-1)


class _CrossingDroppedBeyond(CrossingDropped):
    def cut_p(self, top_p: float) -> None:
        self.nucleus = self.before <= top_p


class AtLeastOne(TopP):
    see = ""
    sound = True
    beside = frozenset({"add_up", "cut_p"})

    def keep_one(self) -> None:
        self.nucleus = torch.cat([torch.ones_like(self.nucleus[:, :1]), self.nucleus[:, 1:]], -1)


class TopPOneMore(TopP):
    """top_p keeps one token after the one that crosses it, too

    What is left has more than it takes.
    """

    def add_up(self) -> None:
        super().add_up()
        self.before = shifted(self.before)


class TopPReached(TopP):
    """a token is kept where the probability before it equals top_p

    Of four equal tokens top_p=0.5 keeps three.
    """

    def cut_p(self, top_p: float) -> None:
        self.nucleus = self.before <= top_p


class TopPAsThreshold(TopP):
    """a token is kept where its own probability is at least top_p

    No sum is taken: top_p=0.9 keeps a single token, or none.
    """

    def cut_p(self, top_p: float) -> None:
        self.nucleus = self.mass >= top_p


class _AboveThreshold(TopPAsThreshold):
    def cut_p(self, top_p: float) -> None:
        self.nucleus = self.mass > top_p


class TopPAsMinP(TopP):
    """a token is kept where its probability is at least top_p times the highest

    That is the filter min-p, in which no sum is taken.
    """

    def cut_p(self, top_p: float) -> None:
        self.nucleus = self.mass >= top_p * self.mass[:, :1]


class TopPInverted(TopP):
    """the sum is compared with 1 - top_p instead of top_p

    top_p=0.9 keeps a tenth.
    """

    def cut_p(self, top_p: float) -> None:
        self.nucleus = self.before < 1 - top_p


class TopPLowest(TopP):
    """top_p goes through the tokens from the least to the most probable

    What is kept is the tail.
    """

    def arrange_p(self) -> None:
        self.order = self.scores.argsort(dim=-1, stable=True)


class TopPUnsorted(TopP):
    """top_p sums the probabilities by id: they are not sorted

    What is kept is what stands first in the vocabulary.
    """

    def arrange_p(self) -> None:
        self.order = torch.arange(self.scores.size(-1)).expand_as(self.scores)


class TopPTiesKept(TopP):
    """of tokens with equal logits, top_p keeps all where it keeps one

    A comparison with the probability of the last one that is kept cannot tell them apart.
    """

    def keep_one(self) -> None:
        least = self.mass.masked_fill(~self.nucleus, 2.0).amin(-1, keepdim=True)
        self.nucleus = self.mass >= least


class TopPOfAll(TopP):
    """top_p counts the probabilities of all tokens, not those of what top_k left

    They are smaller: more tokens fit below top_p. That is top_p before top_k, too.
    """

    def measure(self) -> None:
        self.mass = self.cooled.softmax(-1).gather(-1, self.order)


class TopPOneCount(Ids):
    """as many tokens are kept in every row as in the row that keeps most

    One cut of the sorted columns serves all rows; right for a batch of one.
    """

    def cut_p(self, top_p: float) -> None:
        super().cut_p(top_p)
        self.nucleus = self.nucleus.any(0).expand_as(self.nucleus)


class TopPOverBatch(Ids):
    """probabilities are summed across the rows of the batch, and not along each

    Right for nothing but a batch of one token.
    """

    def add_up(self) -> None:
        self.before = self.mass.cumsum(0) - self.mass


class TopPOneRange(TopP):
    """a top_p of 1 drops tokens: a sum of floats decides

    It reaches 1 before the last tokens, whose probability it does not notice, or never, so that only the first is kept.
    """

    see = "sampling#Rounding"

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        call = check.calls()[-1]
        wanted = call.run(right)
        if call.arguments.get("top_p") != 1 or not isinstance(call.got, Tensor) or not isinstance(wanted, Tensor):
            return False
        if call.got.shape != wanted.shape:
            return False
        dropped = (call.got == 0) & (wanted > 0)
        small = (wanted * dropped).sum(-1) < 1e-6
        return bool(dropped.any()) and bool((small | (call.got.amax(-1) == 1)).all())


class NucleusByGather(Ids):
    """what top_p keeps is brought back to ids by the order itself, and not by its inverse: gather instead of scatter

    Right where the order is its own inverse.
    """

    def place(self) -> None:
        self.allowed = self.allowed & self.nucleus.gather(-1, self.order)


class _ByTheFirstOrder(NucleusByGather):
    def place(self) -> None:
        first = self.cooled.argsort(dim=-1, descending=True, stable=True)
        self.allowed = self.allowed & self.nucleus.gather(-1, first)


class _ByGatherAscending(NucleusByGather):
    def place(self) -> None:
        self.allowed = self.allowed & self.nucleus.flip(-1).gather(-1, self.order.flip(-1))


class NucleusByRank(Ids):
    """what top_p keeps by rank is taken for ids

    As many tokens are kept as should be, those with the lowest ids.
    """

    def place(self) -> None:
        self.allowed = self.allowed & self.nucleus


class _ByRankAscending(NucleusByRank):
    def place(self) -> None:
        self.allowed = self.allowed & self.nucleus.flip(-1)


class NucleusOfBatch(Ids):
    """what top_p drops in one row is dropped in all

    Right for a batch of one; the ids of all rows are taken together.
    """

    def place(self) -> None:
        self.allowed = self.allowed & self.by_id(self.nucleus).all(0)


class NucleusOfFirstRow(Ids):
    """what top_p keeps in the first row is kept in all

    Right for a batch of one.
    """

    def place(self) -> None:
        self.allowed = self.allowed & self.by_id(self.nucleus)[:1]


def shifted(before: Tensor) -> Tensor:
    """The same one rank later; nothing is before the first."""
    return torch.cat([torch.zeros_like(before[:, :1]), before[:, :-1]], -1)
