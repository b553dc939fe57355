"""What the diagnosis knows of this kata: its program in steps, and what people do wrong in them.

TODO: a method for each step that can be done wrong, and a class for each way of doing it wrong.
"""

import sys

from torch import Tensor

from grading.diagnosis.mistake import Mistake, mistakes_in
from grading.diagnosis.program import Program


class Twice(Program):
    x: Tensor
    output: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        self.x = x
        self.double()
        return self.output

    def double(self) -> None:
        self.output = 2 * self.x


PROGRAMS = {"twice": Twice}


class AttentionBackwardSquared(Mistake, Twice):
    """the input is squared instead of doubled

    Right for 0 and 2 alone.
    """

    see = "attention_backward#By-hand"

    def double(self) -> None:
        self.output = self.x * self.x


MISTAKES = mistakes_in(sys.modules[__name__])
