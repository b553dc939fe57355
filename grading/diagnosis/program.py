"""A right answer in named steps: a class whose public methods are the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from grading.diagnosis.lent import Lent
from grading.diagnosis.transcript import Shapes, Transcript


class Program:
    """A right answer in steps. Made as the learner's class is made (a function's without arguments), called as it is.

    A step reads and sets attributes, and may be written for any sizes: only its values matter, neither time nor memory.
    """

    masking: ClassVar[frozenset[str]] = frozenset()  # steps in which a mistake may hide what another one does
    layers: Mapping[str, Tensor]
    training: bool = False
    lent: Lent  # what programs have in common that go through the same calls

    def parameters(self) -> Shapes:
        """The names and shapes of a layer's parameters; a function has none."""
        return {}

    def set(self, weights: Mapping[str, Tensor], training: bool, lent: Lent | None = None) -> None:
        """Take weights, as `load_state_dict` does, and the mode."""
        self.layers, self.training, self.lent = weights, training, lent or Lent()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    @classmethod
    def idle(cls, check: Transcript) -> frozenset[str]:
        """The steps in which nothing can go wrong in that check: mistakes in them alone need not be tried on it."""
        return frozenset()

    @classmethod
    def in_order(cls, value: Any) -> Any:
        """An answer as answers are compared: in one order, where the contract leaves the order of its parts free."""
        return value
