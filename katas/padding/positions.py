"""What people do wrong in the positions."""

from grading.diagnosis.mistake import Mistake
from katas.padding.program import Positions
from katas.padding.reading import LeftPaddingAssumed, RightPaddingAssumed


class Count(Mistake, Positions):
    see = "padding#Positions"


class Fill(Mistake, Positions):
    see = "padding#Positions-of-pads"


class PositionsIgnorePadding(Count):
    """a position is the slot, 0, 1, 2, ..., whatever the padding

    Right for rows without padding on the left.
    """

    def count(self) -> None:
        self.position = self.slots.expand(self.given.shape)

    def fill_pads(self) -> None:
        """Nothing is done to pads."""


class _SlotsThenCleared(PositionsIgnorePadding):
    def fill_pads(self) -> None:
        self.position = self.position * self.real


class PositionsFromOne(Count):
    """positions are counted from 1: the running sum of the attention mask counts the token itself, too

    Every real token is one too far.
    """

    def count(self) -> None:
        self.position = self.tokens.cumsum(dim=-1)


class PositionsFromTheEnd(Count):
    """positions are counted from the end: a position is the number of real tokens after it

    The last token has position 0.
    """

    def count(self) -> None:
        self.position = self.tokens.flip(-1).cumsum(dim=-1).flip(-1) - 1


class PositionsOverBatch(Count):
    """the attention mask is summed over the batch (dim=0) instead of along each row

    A position is the number of rows above that have a real token in the slot.
    """

    see = "padding#One-row-at-a-time"

    def count(self) -> None:
        self.position = self.tokens.cumsum(dim=0) - 1


class PositionsRunOn(Count):
    """positions run on from row to row instead of starting again at 0 in each

    Right for the first row.
    """

    see = "padding#One-row-at-a-time"

    def count(self) -> None:
        self.position = self.tokens.flatten().cumsum(dim=0).view_as(self.tokens) - 1


class PadsNotCleared(Fill):
    """pads keep what the running sum gives them instead of 0

    Counted from 0 that is -1 on the left, an index error or a table's last row, and on the right the last position.
    """

    def fill_pads(self) -> None:
        """Nothing is done to pads."""


class PadsClamped(Fill):
    """negative positions alone are replaced, and pads on the right keep the position of the last token

    Right for padding on the left.
    """

    def fill_pads(self) -> None:
        self.position = self.position.clamp(min=0)


class _NegativeOnesToOne(PadsClamped):
    def fill_pads(self) -> None:
        self.position = self.position.masked_fill(self.position < 0, 1)


class RealTokensCleared(Fill):
    """real tokens have position 0 instead of pads, which keep what the running sum gives them

    All tokens of a row are at one place.
    """

    def fill_pads(self) -> None:
        self.position = self.position.masked_fill(self.real, 0)


class PadsHavePositionOne(Fill):
    """pads have position 1 instead of 0

    Hugging Face's generate fills pads in this way; it is not what is asked for.
    """

    def fill_pads(self) -> None:
        self.position = self.position.masked_fill(~self.real, 1)


class PadsHavePositionMinusOne(Fill):
    """pads have position -1 instead of 0

    A position of -1 is an index error in an embedding, or the last row of the table.
    """

    def fill_pads(self) -> None:
        self.position = self.position.masked_fill(~self.real, -1)


class PadsCounted(Fill):
    """a pad, too, has the number of real tokens before it: on the right that is the row's length and not 0

    Right for padding on the left.
    """

    def fill_pads(self) -> None:
        self.position = self.position + (~self.real).long()


class PadsGoOn(Fill):
    """positions go on in the pads on the right: every slot has its distance from the first real one

    Right for padding on the left.
    """

    def count(self) -> None:
        self.position = self.slots - self.tokens.argmax(dim=-1, keepdim=True)

    def fill_pads(self) -> None:
        self.position = self.position.clamp(min=0)


class _GoOnBelowZero(PadsGoOn):
    def fill_pads(self) -> None:
        """Those on the left are below 0."""


class _LastSlotsAssumed(LeftPaddingAssumed, Positions):
    def fill_pads(self) -> None:
        self.position = self.position.masked_fill(~self.given.bool(), 0)


class _DistanceFromLeftPads(LeftPaddingAssumed, Positions):
    def fill_pads(self) -> None:
        self.position = self.slots - (self.given.size(-1) - self.counts)


class _FirstSlotsAssumed(RightPaddingAssumed, Positions):
    def fill_pads(self) -> None:
        self.position = self.position.masked_fill(~self.given.bool(), 0)


class PositionsInMaskDtype(Count):
    """positions have the dtype of the attention mask, in which they are summed, instead of int64

    A mask of floats gives floats, and half precision does not hold every integer.
    """

    see = "padding#Reading-the-attention-mask"

    def numbers(self) -> None:
        self.tokens = self.real.to(self.given.dtype)


class PositionsNotInt64(Count):
    """positions have another dtype than int64

    They are indices, and the caller's tensors of indices are int64.
    """

    see = "padding#Reading-the-attention-mask"

    def deliver(self) -> None:
        self.position = self.position.float()


class _Int32(PositionsNotInt64):
    def deliver(self) -> None:
        self.position = self.position.int()


class _MaskDtype(PositionsNotInt64):
    def deliver(self) -> None:
        self.position = self.position.to(self.given.dtype)


class PositionsOfOneRow(Count):
    """positions are a single row, (S,) or (1, S), instead of one for each row of the batch

    Right only where all rows are alike, and then still of another shape.
    """

    see = "padding#One-row-at-a-time"

    def deliver(self) -> None:
        self.position = self.position[0]


class _OneRowWithItsAxis(PositionsOfOneRow):
    def deliver(self) -> None:
        self.position = self.position[:1]
