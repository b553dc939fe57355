"""The two functions of the kata in steps, right."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from grading.diagnosis.program import Program


class NextTokenProbs(Program):
    """From logits to the distribution of the next token. What is by rank has the most probable token first."""

    logits: Tensor
    scores: Tensor  # (B, V) by id, divided by the temperature; -inf once a token is dropped
    cooled: Tensor  # the same, with no token dropped
    order: Tensor  # (B, V) ids by rank
    allowed: Tensor  # bool (B, V) by id: what the last filter keeps
    mass: Tensor  # (B, V) by rank: the probabilities of which top_p takes the sum
    before: Tensor  # (B, V) by rank: what is compared with top_p
    nucleus: Tensor  # bool (B, V) by rank: what top_p keeps
    probs: Tensor

    def __call__(
        self, logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
    ) -> Any:
        self.logits, self.temperature, self.top_k, self.top_p = logits, temperature, top_k, top_p
        self.dtype, self.scores = logits.dtype, logits
        self.refuse()
        self.widen()
        self.cool()
        self.cooled = self.scores
        self.allowed = torch.ones_like(self.scores, dtype=torch.bool)
        self.choose()
        if self.top_k is not None:
            self._filter_k(self.top_k)
        if self.top_p is not None:
            self._filter_p(self.top_p)
        self.reheat()
        self.share()
        self.restore()
        self.finish()
        return self.probs

    def _filter_k(self, top_k: int) -> None:
        self.arrange()
        self.cut_k(top_k)
        self.hide()

    def _filter_p(self, top_p: float) -> None:
        self.arrange_p()
        self.measure()
        self.add_up()
        self.cut_p(top_p)
        self.keep_one()
        self.spare(top_p)
        self.place()
        self.hide()

    def refuse(self) -> None:
        """Options out of range."""
        top_k, top_p = (1 if each is None else each for each in (self.top_k, self.top_p))
        if self.temperature <= 0 or top_k < 1 or not 0 < top_p <= 1:
            raise ValueError("an option is out of range")

    def widen(self) -> None:
        """Work is done in at least float32."""
        self.scores = at_least_float32(self.scores)

    def cool(self) -> None:
        self.scores = self.scores / self.temperature

    def choose(self) -> None:
        """Which of the filters are applied: those that are given."""

    def arrange(self) -> None:
        """From the most to the least probable token, ties by id."""
        self.order = self.scores.argsort(dim=-1, descending=True, stable=True)

    def cut_k(self, top_k: int) -> None:
        self.allowed = self.by_id(torch.arange(self.order.size(1)).expand_as(self.order) < top_k)

    def hide(self) -> None:
        """A token that is dropped has no weight."""
        self.scores = self.scores.masked_fill(~self.allowed, -math.inf)

    def arrange_p(self) -> None:
        """The order for top_p, which is the same."""
        self.arrange()

    def measure(self) -> None:
        """The probabilities of what is left."""
        self.mass = self.scores.softmax(-1).gather(-1, self.order)

    def add_up(self) -> None:
        """The probability before each token."""
        self.before = self.mass.cumsum(-1) - self.mass

    def cut_p(self, top_p: float) -> None:
        self.nucleus = self.before < top_p

    def keep_one(self) -> None:
        """At least one token is kept: nothing is to be done, for nothing is before the first."""

    def spare(self, top_p: float) -> None:
        """A top_p of 1 keeps all, whatever the sums of floats are."""
        self.nucleus = self.nucleus | (top_p == 1)

    def place(self) -> None:
        """From ranks back to ids."""
        self.allowed = self.allowed & self.by_id(self.nucleus)

    def reheat(self) -> None:
        """Where a mistake has the temperature: here nothing is left to be done."""

    def share(self) -> None:
        """What is left shares the whole."""
        self.probs = self.scores.softmax(-1)

    def restore(self) -> None:
        """The result is by id: nothing is to be turned back."""

    def finish(self) -> None:
        """The dtype of the logits."""
        self.probs = self.probs.to(self.dtype)

    def by_id(self, ranked: Tensor) -> Tensor:
        """What is by rank, by id."""
        return torch.empty_like(ranked).scatter(-1, self.order, ranked)


class Sample(Program):
    """From probabilities and a number u for each row to a token for each row."""

    weights: Tensor  # (B, V) the probabilities that are summed
    sums: Tensor  # (B, V) the cumulative probabilities
    ids: Tensor

    def __call__(self, probs: Tensor, u: Tensor) -> Any:
        self.probs, self.u = probs, u[:, None]
        self.weights = probs
        self.widen_probs()
        self.accumulate()
        self.aim()
        self.pick()
        self.limit()
        self.hand_out()
        return self.ids

    def widen_probs(self) -> None:
        """Sums are taken in at least float32."""
        self.weights = at_least_float32(self.weights)

    def accumulate(self) -> None:
        self.sums = self.weights.cumsum(-1)

    def aim(self) -> None:
        """The number that a sum has to exceed: u."""

    def pick(self) -> None:
        """The first id whose sum exceeds u; V where there is none."""
        self.ids = (self.sums <= self.u).sum(-1)

    def limit(self) -> None:
        """The last id that has a probability is the largest that may be drawn."""
        last = torch.where(self.probs > 0, torch.arange(self.probs.size(-1)), 0).amax(-1)
        self.ids = torch.minimum(self.ids, last)

    def hand_out(self) -> None:
        """int64 (B,)."""


def at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
