"""What people do wrong in reading the attention mask, in either function."""

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.padding.program import Padded


class AttentionMaskInverted(Mistake, Padded):
    """the attention mask is read the wrong way round: True or 1 as a pad, False or 0 as a real token

    Real tokens are hidden and pads are counted.
    """

    see = "padding#Reading-the-attention-mask"

    def read(self) -> None:
        self.real = ~self.given.bool()


class IntegersInverted(Mistake, Padded):
    """~ is applied to an attention mask of integers, where ~1 is -2 and ~0 is -1: both are true

    Right for booleans; of integers every token is taken for a pad.
    """

    see = "padding#Reading-the-attention-mask"

    def read(self) -> None:
        self.real = ~(~self.given).bool()


class _OfIntegersAlone(IntegersInverted):
    def read(self) -> None:
        given = self.given.bool() if self.given.is_floating_point() else self.given  # floats have no ~
        self.real = ~(~given).bool()


class PaddingOfFirstRow(Mistake, Padded):
    """the padding of the first row of the batch is used for all rows

    Right for a batch of one, or when all rows are padded alike.
    """

    see = "padding#One-row-at-a-time"

    def sides(self) -> None:
        self.real = self.real[:1].expand_as(self.real)


class LeftPaddingAssumed(Mistake, Padded):
    """all pads are taken to be on the left: a row's last n slots count as its n real tokens

    Right for batches padded on the left.
    """

    see = "padding#Left-and-right"

    def sides(self) -> None:
        self.real = self.slots >= self.given.size(-1) - self.counts


class RightPaddingAssumed(Mistake, Padded):
    """all pads are taken to be on the right: a row's first n slots count as its n real tokens

    Right for batches padded on the right.
    """

    see = "padding#Left-and-right"

    def sides(self) -> None:
        self.real = self.slots < self.counts


class AttentionMaskModified(Mistake):
    """the attention mask that is handed in is changed in place

    The caller's attention mask is not what it was.
    """

    see = "padding#Reading-the-attention-mask"

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return "attention_mask" in check.modified()
