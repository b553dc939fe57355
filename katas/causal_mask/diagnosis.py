"""What the diagnosis knows of this kata: the two functions in steps, and what people do wrong in them."""

import math
import sys

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake, mistakes_in
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.attention.program import AdditiveMask, CausalMask

PROGRAMS = {"causal_mask": CausalMask, "additive_mask": AdditiveMask}


class Build(Mistake, CausalMask):
    see = "causal_mask#Triangle"


class Align(Mistake, CausalMask):
    see = "causal_mask#Alignment"


class Polarity(Mistake, CausalMask):
    see = "causal_mask#Polarity"


class Fill(Mistake, AdditiveMask):
    """What stands in the additive mask where a key is hidden."""

    grouping = True
    see = "causal_mask#Fill"
    number: float = -math.inf

    def summand(self) -> None:
        self.additive = torch.zeros(self.mask.shape, dtype=self.dtype).masked_fill(~self.mask, self.number)


class TriangleTopLeft(Align):
    """query i sees keys 0..i (top-left) although the queries are the last of the positions (bottom-right)

    Right for key_len == query_len; with more keys the queries see only the oldest.
    """

    def triangle(self) -> None:
        self.mask = self.ones().tril()


class TriangleUpper(Build):
    """the upper triangle is allowed (triu) instead of the lower one (tril)

    A position sees itself and what comes after it.
    """

    def triangle(self) -> None:
        self.mask = self.ones().triu(self._offset())

    def _offset(self) -> int:
        assert self.key_len is not None
        return self.key_len - self.query_len


class _UpperTopLeft(TriangleUpper):
    def triangle(self) -> None:
        self.mask = self.ones().triu()


class _UpperStrict(TriangleUpper):
    def triangle(self) -> None:
        self.mask = self.ones().triu(1)


class _UpperStrictBottomRight(TriangleUpper):
    def triangle(self) -> None:
        self.mask = self.ones().triu(self._offset() + 1)


class TriangleStrict(TriangleUpper):
    """the triangle is off by one: a position does not see itself

    The first of the positions sees nothing.
    """

    see = "causal_mask#Triangle"

    def triangle(self) -> None:
        self.mask = self.ones().tril(self._offset() - 1)


class _StrictBesideAPast(TriangleStrict):
    def triangle(self) -> None:
        self.mask = self.ones().tril(self._offset() - (self._offset() > 0))


class TriangleStrictTopLeft(TriangleStrict):
    """query i sees keys 0..i-1: the triangle is off by one, and it is top-left where it should be bottom-right

    A position does not see itself, and with more keys than queries it sees the oldest.
    """

    def triangle(self) -> None:
        self.mask = self.ones().tril(-1)


class TriangleOneAhead(TriangleUpper):
    """the triangle is off by one: a position sees the one after it

    What comes next leaks into each position.
    """

    def triangle(self) -> None:
        self.mask = self.ones().tril(self._offset() + 1)


class _OneAheadBesideAPast(TriangleOneAhead):
    def triangle(self) -> None:
        self.mask = self.ones().tril(self._offset() + (self._offset() > 0))


class TriangleMovedWrongWay(TriangleUpper):
    """the triangle is moved to the left instead of to the right: by query_len - key_len

    Right for key_len == query_len; with more keys the queries see nothing, or next to nothing.
    """

    see = "causal_mask#Alignment"

    def triangle(self) -> None:
        self.mask = self.ones().tril(-self._offset())


class TriangleMissing(Build):
    """every query may attend to every key

    Nothing is hidden.
    """

    def triangle(self) -> None:
        self.mask = self.ones()


class PastBehindTheTriangle(Align):
    """the columns of the keys that come before the queries stand behind the triangle instead of before it

    Right for key_len == query_len; with more keys the queries see the wrong ones.
    """

    def triangle(self) -> None:
        square = torch.ones(self.query_len, self.query_len, dtype=torch.bool).tril()
        self.mask = torch.cat([square, self.ones()[:, self.query_len :]], dim=1)


class KeyLengthIgnored(Align):
    """key_len is ignored and the mask is (query_len, query_len)

    Right for key_len == query_len, of the wrong shape otherwise.
    """

    def lengths(self) -> None:
        self.key_len = self.query_len


class MaskForAllPositions(Align):
    """the mask is (key_len, key_len): the rows of the positions that are not queries are not cut away

    Right for key_len == query_len, of the wrong shape otherwise.
    """

    def lengths(self) -> None:
        super().lengths()
        assert self.key_len is not None
        self.query_len = self.key_len


class LengthsExchanged(Align):
    """the mask is (key_len, query_len) instead of (query_len, key_len)

    Right for key_len == query_len, of the wrong shape otherwise.
    """

    def lengths(self) -> None:
        super().lengths()
        assert self.key_len is not None
        self.query_len, self.key_len = self.key_len, self.query_len


class _ExchangedTopLeft(LengthsExchanged):
    def triangle(self) -> None:
        self.mask = self.ones().tril()


class PolarityInverted(Polarity):
    """True means hidden instead of may attend

    The mask is the complement of the right one.
    """

    def polarity(self) -> None:
        self.mask = ~self.mask


class MaskTransposed(Polarity):
    """the mask is transposed: its rows are keys and its columns queries

    Right for none but a symmetric mask.
    """

    def polarity(self) -> None:
        self.mask = self.mask.T


class Cast(Polarity):
    """Another dtype than bool."""

    grouping = True
    dtype: torch.dtype

    def polarity(self) -> None:
        self.mask = self.mask.to(self.dtype)


class MaskNotBool(Cast):
    """the mask has 1 and 0 instead of True and False: its dtype is not bool

    ~mask and masked_fill do not work with it, and adding it changes the scores by 1.
    """

    dtype = torch.float32


class _Int64(MaskNotBool):
    dtype = torch.int64


class _UInt8(MaskNotBool):
    dtype = torch.uint8


class _Int32(MaskNotBool):
    dtype = torch.int32


class MaskInvertedNotBool(MaskNotBool):
    """the mask has 1 where a key is hidden and 0 where it may be seen, instead of True and False the other way round

    Its dtype is not bool, and its polarity is the opposite one.
    """

    last = True

    def polarity(self) -> None:
        self.mask = (~self.mask).to(self.dtype)


class MaskAdditive(Polarity):
    """causal_mask returns the additive form, 0 and -inf, instead of True and False

    It has to be added to scores, and nobody expects that of a boolean mask.
    """

    def polarity(self) -> None:
        self.mask = _infinite(self.mask)


class MaskWithLeadingDimensions(Polarity):
    """the mask has leading dimensions of 1, (1, L, S) or (1, 1, L, S), instead of being (L, S)

    It broadcasts as before, and it is not the shape that was asked for.
    """

    def polarity(self) -> None:
        self.mask = self.mask[None]


class _TwoLeading(MaskWithLeadingDimensions):
    def polarity(self) -> None:
        self.mask = self.mask[None, None]


class AdditiveInverted(Fill):
    """additive_mask has -inf where the mask is True and 0 where it is False

    What may be attended to is hidden.
    """

    see = "causal_mask#Polarity"

    def summand(self) -> None:
        self.additive = torch.zeros(self.mask.shape, dtype=self.dtype).masked_fill(self.mask, -math.inf)


class AdditiveFinite(Fill):
    """additive_mask has a large negative number instead of -inf

    A row without keys becomes a mean of all the values, and float16 may not hold the number.
    """

    number = -1e9


class _FiniteInFloat32(AdditiveFinite):
    def summand(self) -> None:
        self.additive = torch.zeros(self.mask.shape).masked_fill(~self.mask, -1e9)


class _LowestNumber(AdditiveFinite):
    def summand(self) -> None:
        lowest = torch.finfo(self.dtype).min
        self.additive = torch.zeros(self.mask.shape, dtype=self.dtype).masked_fill(~self.mask, lowest)


class _TenThousand(AdditiveFinite):
    number = -1e4


class _LowestInHalf(AdditiveFinite):
    def summand(self) -> None:
        self.number = torch.finfo(self.dtype).min if self.dtype.itemsize < 4 else -math.inf
        super().summand()


class AdditiveFiniteInverted(AdditiveFinite):
    """additive_mask has a large negative number instead of -inf, and has it where the mask is True

    What may be attended to is hidden.
    """

    def summand(self) -> None:
        self.additive = torch.zeros(self.mask.shape, dtype=self.dtype).masked_fill(self.mask, self.number)


class AdditiveZeroTimesInfinity(Fill):
    """additive_mask is (1 - mask) * -inf, where 0 * -inf is NaN

    Every key that is allowed has NaN.
    """

    def summand(self) -> None:
        self.additive = (~self.mask).to(self.dtype) * -math.inf


class AdditiveOneWhereAllowed(Fill):
    """additive_mask has 1 where the mask is True instead of 0

    The softmax does not notice, as all allowed scores move alike; the mask is not what was asked for.
    """

    def summand(self) -> None:
        self.additive = self.mask.to(self.dtype).masked_fill(~self.mask, -math.inf)


class AdditiveOnesAndZeros(Fill):
    """additive_mask is the mask as 1 and 0 instead of 0 and -inf

    Added to scores it hides nothing.
    """

    def summand(self) -> None:
        self.additive = self.mask.to(self.dtype)


class AdditivePositive(Fill):
    """additive_mask has +inf instead of -inf

    The softmax of a row with +inf is NaN.
    """

    number = math.inf


class AdditiveDtypeIgnored(Mistake, AdditiveMask):
    """additive_mask ignores dtype and is always float32

    float16 scores become float32 when it is added.
    """

    see = "causal_mask#Fill"

    def deliver_mask(self) -> None:
        self.additive = self.additive.float()


class AdditiveAlwaysFloat64(AdditiveDtypeIgnored):
    """additive_mask ignores dtype and is always float64

    Scores become float64 when it is added.
    """

    def deliver_mask(self) -> None:
        self.additive = self.additive.double()


class AdditiveStaysBool(Mistake, AdditiveMask):
    """additive_mask returns the boolean mask itself, or its complement

    Added to scores it hides nothing.
    """

    see = "causal_mask#Fill"

    def deliver_mask(self) -> None:
        self.additive = self.mask


class _StaysBoolInverted(AdditiveStaysBool):
    def deliver_mask(self) -> None:
        self.additive = ~self.mask


class AdditiveMaskChanged(Mistake, AdditiveMask):
    """additive_mask changes the mask that it is given in place

    The caller's mask is not what it was.
    """

    see = "causal_mask#Fill"

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return "mask" in check.modified()


def _infinite(mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape).masked_fill(~mask, -math.inf)


MISTAKES = mistakes_in(sys.modules[__name__])
