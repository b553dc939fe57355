"""Mistakes in the angles: positions, frequencies, precision."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from grading.diagnosis.run import Run
from katas.rope.program import Rotation

ROUNDING = 1e-6  # how far off an angle of 1 is in float32, after some operations
EXACT = 1e-10


class Frequencies(Mistake, Rotation):
    see = "rope#Frequencies"


class Positions(Mistake, Rotation):
    see = "rope#Positions"


class Precision(Mistake, Rotation):
    see = "rope#Precision"


# ----------------------------------------------------------------------------------------- frequencies


class ExponentHalved(Frequencies):
    """pair i has the frequency base^(-i/E) instead of base^(-2i/E)

    The slow half of the frequencies is missing: no pair is slower than the root of the base.
    """

    def find_exponents(self) -> None:
        self.exponent = torch.arange(self.width // 2).to(self.work) / self.width


class ExponentDoubled(Frequencies):
    """pair i has the frequency base^(-4i/E) instead of base^(-2i/E): 2i over E/2

    The frequencies fall twice as fast, to nearly base^-2.
    """

    def find_exponents(self) -> None:
        self.exponent = torch.arange(0, self.width, 2).to(self.work) / (self.width // 2)


class ExponentFromOne(Frequencies):
    """the pairs are counted from 1: pair i has the frequency base^(-2(i + 1)/E)

    The first pair, which tells neighbours apart, is turned too slowly, and so are all others.
    """

    def find_exponents(self) -> None:
        self.exponent = (torch.arange(0, self.width, 2) + 2).to(self.work) / self.width


class ExponentToOne(Frequencies):
    """the exponents run evenly from 0 to 1, the last one included, instead of stopping at 1 - 2/E

    Every pair but the first is turned too slowly.
    """

    def find_exponents(self) -> None:
        self.exponent = torch.linspace(0, 1, self.width // 2, dtype=self.work)


class ExponentUndivided(Frequencies):
    """the exponent 2i is not divided by E

    All pairs but the first hardly turn.
    """

    def find_exponents(self) -> None:
        self.exponent = torch.arange(0, self.width, 2).to(self.work)


class _QuotientDivided(ExponentUndivided):
    def find_frequencies(self) -> None:
        self.frequency = 1.0 / self.base**self.exponent / self.width


class FrequencyPerFeature(Frequencies):
    """every feature has a frequency of its own, so that the two of a pair are turned by different angles

    It is no rotation any more: lengths change.
    """

    def find_exponents(self) -> None:
        self.exponent = torch.arange(self.width).to(self.work) / self.width

    def spread_angles(self) -> None:
        """There are as many angles as features already."""


class _PerFeatureTwice(FrequencyPerFeature):
    def find_exponents(self) -> None:
        self.exponent = 2 * torch.arange(self.width).to(self.work) / self.width


class FrequenciesInverted(Frequencies):
    """the frequencies are base^(2i/E) instead of base^(-2i/E): they grow instead of falling

    Slow pairs turn thousands of times a position.
    """

    def find_frequencies(self) -> None:
        self.frequency = self.base**self.exponent


class FrequenciesReversed(Frequencies):
    """the frequencies are in the opposite order: the first pair is the slowest

    Right for none but the middle pair.
    """

    def find_frequencies(self) -> None:
        super().find_frequencies()
        self.frequency = self.frequency.flip(-1)


class OneFrequency(Frequencies):
    """all pairs are turned by the same angle, the position

    Distances that differ by a whole turn look alike.
    """

    def find_frequencies(self) -> None:
        self.frequency = torch.ones(self.width // 2, dtype=self.work)


class AnglesInTurns(Frequencies):
    """the angles are 2 pi times what they should be: whole turns instead of radians

    The first pair makes a whole turn at each position, and tells no position from another.
    """

    def find_frequencies(self) -> None:
        super().find_frequencies()
        self.frequency = 2 * math.pi * self.frequency


class BaseIgnored(Frequencies):
    """the base is 10,000 whatever is given

    A model that was trained with another base is turned by other angles.
    """

    def choose_base(self) -> None:
        self.base = 10000.0


# ------------------------------------------------------------------------------------------- positions


class PositionsCountedAnew(Positions):
    """the rows are counted from 0 instead of taking the positions that are given

    Right without a cache and without padding; new tokens after a cache get the positions of old ones.
    """

    def count_positions(self) -> None:
        self.positions = torch.arange(self.x.size(-2))


class PositionsFromOne(Positions):
    """every position is taken one too large

    Distances stay as they were, and keys that others have stored do not fit.
    """

    def count_positions(self) -> None:
        self.positions = self.positions + 1


class PositionsFromTheFirst(Positions):
    """positions are counted from the first, or the smallest, of those given, which becomes 0

    New tokens after a cache get the positions of old ones.
    """

    def count_positions(self) -> None:
        self.positions = self.positions - self.positions[..., :1]


class _FromTheSmallest(PositionsFromTheFirst):
    def count_positions(self) -> None:
        self.positions = self.positions - self.positions.min()


class _FromTheSmallestOfTheRow(PositionsFromTheFirst):
    def count_positions(self) -> None:
        self.positions = self.positions - self.positions.amin(dim=-1, keepdim=True)


class FirstRowForAll(Positions):
    """the positions of the first batch entry are taken for all

    Right where no entry is padded.
    """

    def place_positions(self) -> None:
        self.place = self.positions[0] if self.positions.dim() == 2 else self.positions


class BatchForHeads(Positions):
    """positions (B, L) get no axis for the heads, so that batch entries are taken for heads

    It raises an error where B and H differ, and gives wrong numbers where they are equal.
    """

    def place_positions(self) -> None:
        self.place = self.positions


class TokensForHeads(Positions):
    """the axis before the features is taken for the heads, and the one before that for the tokens: (B, L, H, E)

    It raises an error where the sizes differ, and turns each head by another angle where they are equal.
    """

    def place_positions(self) -> None:
        self.place = self.positions.unsqueeze(-1)


class _TokensOfBatchForHeads(TokensForHeads):
    def place_positions(self) -> None:
        self.place = self.positions.unsqueeze(-1) if self.positions.dim() == 2 else self.positions


# ------------------------------------------------------------------------------------------- precision


class AnglesInHalf(Precision):
    """the angles are taken in the half precision of x

    bfloat16 has 8 bits for a position: from 256 on neighbours are the same.
    """

    def find_angles(self) -> None:
        dtype = self.x.dtype if self.x.dtype.itemsize < 4 else self.work
        self.angle = self.place.to(dtype).unsqueeze(-1) * self.frequency.to(dtype)


class _FrequenciesInHalf(AnglesInHalf):
    def find_exponents(self) -> None:
        self.exponent = torch.arange(0, self.width, 2).to(self.x.dtype) / self.width


class _PositionsInHalf(AnglesInHalf):
    def find_angles(self) -> None:
        self.angle = self.place.to(self.x.dtype).unsqueeze(-1) * self.frequency


class _FrequenciesRounded(AnglesInHalf):
    def find_angles(self) -> None:
        self.angle = self.place.unsqueeze(-1) * self.frequency.to(self.x.dtype)


class _FrequenciesRoundedInFloat32(AnglesInHalf):
    def find_angles(self) -> None:
        self.angle = self.place.to(self.work).unsqueeze(-1) * self.frequency.to(self.x.dtype)


class _ProductRounded(AnglesInHalf):
    def find_angles(self) -> None:
        self.angle = (self.place.to(self.work).unsqueeze(-1) * self.frequency).to(self.x.dtype)


class AnglesInFloat32(Precision):
    """the angles are taken in float32 for float64 inputs

    Position times 6e-8 is what an angle is off by: 0.006 at 100,000.
    """

    needs = ("find_angles",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        found = [_rounded(step.request, step.reply, right) for step in check.steps if not step.error]
        return bool(found) and all(each is not None for each in found) and any(found)


def _rounded(request: dict[str, Any], reply: dict[str, Any], right: type[Program]) -> bool | None:
    """Whether a value is off by as much as float32 angles make it be; None where it is off by more."""
    got, args = reply.get("value"), request.get("args")
    if request["do"] != "call" or "cotangent" in request or not args or args[0].dtype != torch.float64:
        return None
    wanted = Run(right).step(request)
    if not isinstance(got, Tensor) or not isinstance(wanted, Tensor) or got.shape != wanted.shape:
        return None
    off = (got.double() - wanted.double()).abs().amax().item()
    scale = args[0].abs().amax().item() * max(1, int(args[1].max()))
    return None if not off <= ROUNDING * scale or got.dtype != wanted.dtype else off > EXACT


class TableTooShort(Precision):
    """cosines and sines come from a table that ends before the largest position

    Longer texts raise an IndexError, or an assertion inside a kernel on a GPU.
    """

    needs = ("find_angles",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        error = check.steps[-1].error
        ends = error is not None and error.type == "IndexError" and "out of bounds" in error.message
        return ends and not check.should_raise()
