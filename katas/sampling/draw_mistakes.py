"""What people do wrong in the draw of a token."""

from __future__ import annotations

import re

import torch

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.sampling.program import Sample


class Draw(Mistake, Sample):
    see = "sampling#The-draw"


class DrawReached(Draw):
    """a cumulative probability that equals u is taken to exceed it

    u = 0 then draws id 0 even where its probability is 0.
    """

    def pick(self) -> None:
        self.ids = (self.sums < self.u).sum(-1)


class DrawBeyondVocabulary(Draw):
    """where no sum exceeds u, the id is the size of the vocabulary

    There is no such token: the embedding raises, once in some million steps.
    """

    def limit(self) -> None:
        pass


class DrawLastId(Draw):
    """where no sum exceeds u, the id is the last of the vocabulary, although its probability may be 0

    A token that a filter dropped is drawn after all.
    """

    def limit(self) -> None:
        self.ids = self.ids.clamp(max=self.probs.size(-1) - 1)


class _LastOfDoubleSums(DrawLastId):
    def widen_probs(self) -> None:
        self.weights = self.weights.double()


class DrawFallsToFirst(Draw):
    """where no sum exceeds u, the id is 0

    argmax of a row without a True is 0.
    """

    def limit(self) -> None:
        self.ids = self.ids.masked_fill(self.ids == self.probs.size(-1), 0)


class _OfDoubleSums(DrawFallsToFirst):
    def widen_probs(self) -> None:
        self.weights = self.weights.double()


class DrawGreedy(Draw):
    """the most probable token is taken whatever u is

    Nothing is left to chance.
    """

    def pick(self) -> None:
        self.ids = self.probs.argmax(-1)


class DrawFromTheEnd(Draw):
    """1 - u takes the place of u

    The distribution is the same, and the token is another one.
    """

    def aim(self) -> None:
        self.u = 1 - self.u


class DrawFirstU(Draw):
    """the u of the first row is used for all rows

    The rows are no longer independent of each other.
    """

    def aim(self) -> None:
        self.u = self.u[:1]


class DrawOwnProbability(Draw):
    """u is compared with each token's own probability, and not with the cumulative one

    The first token with a probability above u is drawn.
    """

    def accumulate(self) -> None:
        self.sums = self.weights

    def pick(self) -> None:
        self.ids = (self.sums > self.u).long().argmax(-1)


class DrawOverBatch(Draw):
    """probabilities are summed across the rows of the batch, and not along each

    Right for nothing but a batch of one token.
    """

    def accumulate(self) -> None:
        self.sums = self.weights.cumsum(0)


class _WholeBatch(DrawOverBatch):
    def accumulate(self) -> None:
        self.sums = self.weights.flatten().cumsum(0).view_as(self.weights)


class DrawFirstRow(Draw):
    """all rows are drawn from the probabilities of the first

    Right for a batch of one.
    """

    def accumulate(self) -> None:
        self.sums = self.weights[:1].cumsum(-1).expand_as(self.weights)


class DrawOneLate(Draw):
    """the id is one too high

    The count of the sums up to u is the id already.
    """

    def pick(self) -> None:
        super().pick()
        self.ids = self.ids + 1


class DrawOneEarly(Draw):
    """the id is one too low

    The last token whose sum does not exceed u comes before the one that is drawn.
    """

    def pick(self) -> None:
        super().pick()
        self.ids = (self.ids - 1).clamp(min=0)


class _OneEarlyFromTheEnd(DrawOneEarly):
    def pick(self) -> None:
        super(DrawOneEarly, self).pick()
        self.ids = self.ids - 1


class DrawSorted(Draw):
    """the probabilities are summed from the most probable token on, and not by id

    The distribution is the same, and the token is another one.
    """

    def accumulate(self) -> None:
        self.order = self.weights.argsort(dim=-1, descending=True, stable=True)
        self.sums = self.weights.gather(-1, self.order).cumsum(-1)

    def limit(self) -> None:
        having = (self.probs > 0).sum(-1) - 1
        self.ids = self.order.gather(-1, torch.minimum(self.ids, having)[:, None])[:, 0]


class DrawRank(DrawSorted):
    """the rank of a token is returned in place of its id

    Rank 0 is the most probable token, whichever that is.
    """

    see = "sampling#Back-to-ids"

    def limit(self) -> None:
        self.ids = torch.minimum(self.ids, (self.probs > 0).sum(-1) - 1)


class DrawAsColumn(Draw):
    """sample returns ids of the shape (B, 1) instead of (B,)

    torch.multinomial and a search for a column give that.
    """

    def hand_out(self) -> None:
        self.ids = self.ids[:, None]


class DrawNotInt64(Draw):
    """the ids are not int64

    An embedding takes no floats, and other integers do not index everywhere.
    """

    def hand_out(self) -> None:
        self.ids = self.ids.to(torch.int32)


class _IdsAsFloats(DrawNotInt64):
    def hand_out(self) -> None:
        self.ids = self.ids.float()


class _IdsInTheDtypeOfProbabilities(DrawNotInt64):
    def hand_out(self) -> None:
        self.ids = self.ids.to(self.probs.dtype)


class DrawSumsInHalf(Draw):
    """probabilities in half precision are summed in half precision

    A sum above 1/2 has steps of 1/2048 in float16 and of 1/256 in bfloat16: smaller tokens are passed over.
    """

    see = "sampling#Rounding"

    def widen_probs(self) -> None:
        pass


class DrawSumsInFloat32(DrawSumsInHalf):
    """float64 probabilities are summed in float32

    Sums that differ in the ninth digit are one.
    """

    def widen_probs(self) -> None:
        self.weights = self.weights.float()
        self.u = self.u.float()


class DrawDtypesDiffer(Draw):
    """u of another dtype than the probabilities is an error

    torch.rand gives float32, and probabilities may be in half precision.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        asked = check.calls()[-1].arguments
        probs, u = asked.get("probs"), asked.get("u")
        if probs is None or u is None or probs.dtype == u.dtype or not check.raised():
            return False
        return bool(re.search(r"\b(dtype|Float|Double|Half|BFloat16|float|double)|float(16|32|64)", _message(check)))


def _message(check: Check) -> str:
    error = check.steps[-1].error
    return error.message if error else ""


class ProbabilitiesModified(Draw):
    """sample changes the probabilities or u, which it is given, in place

    The caller's tensors are not what they were.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return bool({"probs", "u"} & check.modified())
