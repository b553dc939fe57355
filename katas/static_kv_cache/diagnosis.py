"""What the diagnosis knows of this kata: its program in steps, and what people do wrong in them.

What all layers can do wrong (projections, heads, groups, scale, softmax, the mask of new tokens) is shared.
"""

import math
import sys
from typing import Any

import torch
from torch import Tensor

from grading.candidate.wire import Opaque
from grading.diagnosis.mistake import Mistake, mistakes_in
from grading.diagnosis.program import Program
from grading.diagnosis.raised import Refused
from grading.diagnosis.replay import Check
from katas.attention.mistakes import chunks, fills, groups, heads, layers, projections, scale, softmax
from katas.attention.program import split_heads
from katas.static_kv_cache.program import StaticLayer, StaticStar, turned

PROGRAMS = {"LlamaAttention": StaticLayer}
star = StaticStar()


class Positions(Mistake, StaticLayer):
    see = "static_kv_cache#Positions"


class Rotation(Mistake, StaticLayer):
    see = "static_kv_cache#Rotation"


class Writing(Mistake, StaticLayer):
    see = "static_kv_cache#Written-in-place"


class Reading(Mistake, StaticLayer):
    see = "static_kv_cache#What-is-read"


class Room(Mistake, StaticLayer):
    see = "static_kv_cache#Room"


# ------------------------------------------------------------------------------------------- positions


class PositionsFromZero(Positions):
    """the new tokens get the positions 0, 1, ... at every call, whatever is in the cache

    The first call is right; after it tokens share positions, as if nothing had come before.
    """

    def locate(self) -> None:
        self.positions = torch.arange(self.new)


class PositionsOneTooMany(Positions):
    """the positions begin at cache.length + 1 instead of cache.length

    The difference of two positions is right, so the output is; the keys in the cache are not.
    """

    def locate(self) -> None:
        self.positions = torch.arange(self.begin, self.end) + 1


class PositionsOneTooFew(Positions):
    """the positions begin at cache.length - 1 instead of cache.length

    The difference of two positions is right, so the output is; the keys in the cache are not.
    """

    def locate(self) -> None:
        self.positions = torch.arange(self.begin, self.end) - 1


class PositionsFromTheNewLength(Positions):
    """the positions begin at the length after the new tokens, P + L, instead of before them

    cache.length was advanced before it was read.
    """

    def locate(self) -> None:
        self.positions = torch.arange(self.begin, self.end) + self.new


class OnePositionForAll(Positions):
    """all the new tokens of a call get one position instead of P, P + 1 and so on

    Right for one token at a time.
    """

    def locate(self) -> None:
        self.positions = torch.full((self.new,), self.begin)


class _TheLastForAll(OnePositionForAll):
    def locate(self) -> None:
        self.positions = torch.full((self.new,), self.end - 1)


class PositionsOnSelf(Positions):
    """the layer counts the tokens on self instead of in the cache: positions go on from all that it has seen

    One sequence is right; a second cache, or one that is used again, is not.
    """

    seen = 0

    def locate(self) -> None:
        self.positions = torch.arange(self.seen, self.seen + self.new)
        self.seen += self.new


# -------------------------------------------------------------------------------------------- rotation


class RotaryMissing(Rotation):
    """neither queries nor keys are rotated

    The layer cannot tell in which order tokens come.
    """

    def rotate(self) -> None:
        """Left out."""


class QueriesNotRotated(Rotation):
    """keys are rotated and queries are not

    Scores depend on the position of the key alone, and not on how far away it is.
    """

    def rotate(self) -> None:
        self.key = self.turn(self.key, self.angles)


class KeysNotRotated(Rotation):
    """queries are rotated and keys are not

    Scores depend on the position of the query alone, and not on how far away the key is.
    """

    def rotate(self) -> None:
        self.query = self.turn(self.query, self.angles)


class ValuesRotatedToo(Rotation):
    """the values are rotated as well as queries and keys

    The output of a token turns with the positions of those that it sees.
    """

    def rotate(self) -> None:
        super().rotate()
        self.value = self.turn(self.value, self.angles)


class RotaryPairsInterleaved(Rotation):
    """features 2i and 2i + 1 are rotated together instead of i and i + E/2

    Consistent in itself, and unable to use weights that were trained with the other pairs.
    """

    def turn(self, x: Tensor, angles: Tensor) -> Tensor:
        pairs = torch.cat([x[..., ::2], x[..., 1::2]], dim=-1)
        return torch.stack(turned(pairs, angles).chunk(2, dim=-1), dim=-1).flatten(-2)


class RotaryAnglesOfOtherPairs(Rotation):
    """the angles are laid out for other pairs than the features: one of them in halves, the other interleaved

    No pair is turned by one angle, so lengths change.
    """

    def turn(self, x: Tensor, angles: Tensor) -> Tensor:
        angles, half = angles.repeat_interleave(2, dim=-1), x.size(-1) // 2
        across = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
        return (x * angles.cos() + across * angles.sin()).to(x.dtype)


class _FeaturesInterleaved(RotaryAnglesOfOtherPairs):
    def turn(self, x: Tensor, angles: Tensor) -> Tensor:
        angles = torch.cat([angles, angles], dim=-1)
        across = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
        return (x * angles.cos() + across * angles.sin()).to(x.dtype)


class RotarySignReversed(Rotation):
    """pairs are turned the other way: (a cos + b sin, b cos - a sin)

    Scores are as far apart as they should be; the keys in the cache are others.
    """

    def turn(self, x: Tensor, angles: Tensor) -> Tensor:
        return turned(x, -angles)


class RotarySignMissing(Rotation):
    """the minus sign is missing: (a cos + b sin, a sin + b cos)

    That is no rotation, and lengths change.
    """

    def turn(self, x: Tensor, angles: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([a * cos + b * sin, a * sin + b * cos], dim=-1).to(x.dtype)


class RotaryCosAndSinExchanged(Rotation):
    """sine and cosine are exchanged

    Each pair is mirrored, at position 0 too.
    """

    def turn(self, x: Tensor, angles: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([a * sin - b * cos, a * cos + b * sin], dim=-1).to(x.dtype)


class RotatedBeforeHeadsAreSplit(Rotation):
    """all features are rotated before they are split into heads, as one vector of D or K * E features

    Pairs reach across heads, and the angles are those of a head as wide as all.
    """

    def rotate(self) -> None:
        self.query, self.key = self._whole(self.query), self._whole(self.key)

    def _whole(self, x: Tensor) -> Tensor:
        flat = x.transpose(1, 2).flatten(2)
        angles = self._angles(2 * torch.arange(flat.size(-1) // 2, dtype=self.wide) / flat.size(-1))
        return split_heads(self.turn(flat, angles), x.size(1))


class Exponents(Rotation):
    """The powers of the base, by pair."""

    grouping = True

    def angle(self) -> None:
        self.angles = self._angles(self._exponents(torch.arange(self.head_dim // 2, dtype=self.wide)))

    def _exponents(self, pairs: Tensor) -> Tensor:
        raise NotImplementedError


class RotaryExponentHalved(Exponents):
    """pair i turns by base^(-i / E) a position instead of base^(-2i / E)

    Right for one pair; slow pairs turn too fast.
    """

    def _exponents(self, pairs: Tensor) -> Tensor:
        return pairs / self.head_dim


class RotaryExponentDoubled(Exponents):
    """pair i turns by base^(-4i / E) a position instead of base^(-2i / E)

    Right for one pair; pairs turn too slowly.
    """

    def _exponents(self, pairs: Tensor) -> Tensor:
        return 4 * pairs / self.head_dim


class RotaryExponentOverDModel(Exponents):
    """pair i turns by base^(-2i / D) a position, with d_model in the place of head_dim

    Right for one head; slow pairs turn too fast.
    """

    def _exponents(self, pairs: Tensor) -> Tensor:
        return 2 * pairs / self.d_model


class RotaryPairsFromOne(Exponents):
    """the pairs are counted from 1 instead of 0: the first already turns by base^(-2 / E) a position

    Every pair turns too slowly.
    """

    def _exponents(self, pairs: Tensor) -> Tensor:
        return 2 * (pairs + 1) / self.head_dim


class RotaryOneAngleForAllPairs(Exponents):
    """every pair turns by one radian a position: the base has no effect

    Far positions cannot be told from near ones.
    """

    def _exponents(self, pairs: Tensor) -> Tensor:
        return 0 * pairs


class RotaryBaseIgnored(Rotation):
    """the angles are those of the base 10,000, whatever rope_base says

    Llama 3 has 500,000.
    """

    def angle(self) -> None:
        base, self.rope_base = self.rope_base, 10000.0
        super().angle()
        self.rope_base = base


class Rough(Rotation):
    """Angles of few digits. Which digits are lost depends on how the powers of the base are written."""

    grouping = True

    def digits(self) -> None:
        few = self._few()
        exponents = 2 * torch.arange(self.head_dim // 2, dtype=few) / self.head_dim
        self.angles = torch.outer(self.positions.to(few), self._powers(exponents))

    def _few(self) -> torch.dtype:
        raise NotImplementedError

    def _powers(self, exponents: Tensor) -> Tensor:
        return 1.0 / self.rope_base**exponents


class RotaryAnglesInHalf(Rough):
    """positions, or angles, are float16 or bfloat16, in which whole numbers above 2,048, or 256, are not told apart

    Near tokens share positions, the more of them the longer the sequence is.
    """

    def _few(self) -> torch.dtype:
        return self.tokens.dtype


class _HalfNegative(RotaryAnglesInHalf):
    def _powers(self, exponents: Tensor) -> Tensor:
        return self.rope_base**-exponents


class _HalfExponential(RotaryAnglesInHalf):
    def _powers(self, exponents: Tensor) -> Tensor:
        return torch.exp(-math.log(self.rope_base) * exponents)


class RotaryAnglesInFloat32(Rough):
    """the angles are float32 although x is float64

    Seven digits are right.
    """

    def _few(self) -> torch.dtype:
        return torch.float32


class _Float32Negative(RotaryAnglesInFloat32):
    def _powers(self, exponents: Tensor) -> Tensor:
        return self.rope_base**-exponents


class _Float32Exponential(RotaryAnglesInFloat32):
    def _powers(self, exponents: Tensor) -> Tensor:
        return torch.exp(-math.log(self.rope_base) * exponents)


class _Float32Angles(RotaryAnglesInFloat32):
    def digits(self) -> None:
        super().digits()
        self.angles = self.angles.double()


class _Float32NegativeAngles(_Float32Angles, _Float32Negative):
    pass


class _Float32ExponentialAngles(_Float32Angles, _Float32Exponential):
    pass


class KeysRotatedWhenRead(Rotation):
    """the cache holds keys that are not rotated, and all of them are rotated each time that they are read

    The output of a sequence is right. Nobody else can use the cache, and a step works on all tokens.
    """

    def rotate(self) -> None:
        self.query = self.turn(self.query, self.angles)

    def read(self) -> None:
        super().read()
        self.positions = torch.arange(self.end)
        self.angle()
        self.key = self.turn(self.key, self.angles)


class CachedKeysRotatedAgain(Rotation):
    """keys that are rotated already are rotated again when they are read

    The older a token is, the more often it was turned.
    """

    def read(self) -> None:
        super().read()
        self.positions = torch.arange(self.end)
        self.angle()
        self.key = self._again(self.key)

    def _again(self, key: Tensor) -> Tensor:
        return self.turn(key, self.angles)


class _TheOldOnes(CachedKeysRotatedAgain):
    def _again(self, key: Tensor) -> Tensor:
        old, new = key[:, :, : self.begin], key[:, :, self.begin :]
        return torch.cat([self.turn(old, self.angles[: self.begin]), new], dim=2)


class _AndWrittenBack(CachedKeysRotatedAgain):
    def _again(self, key: Tensor) -> Tensor:
        self.store.keys[:, :, : self.end] = self.turn(key, self.angles)
        return self.store.keys[:, :, : self.end]


class _TheOldOnesWrittenBack(CachedKeysRotatedAgain):
    def _again(self, key: Tensor) -> Tensor:
        self.store.keys[:, :, : self.begin] = self.turn(key[:, :, : self.begin], self.angles[: self.begin])
        return self.store.keys[:, :, : self.end]


class KeysWrittenBeforeTheyAreRotated(Rotation):
    """the new keys are written before they are rotated, and attended to rotated

    A call is right with what earlier calls have left; they leave keys that are not rotated.
    """

    def rotate(self) -> None:
        self.unrotated = self.key
        super().rotate()

    def write(self) -> None:
        self.rotated, self.key = self.key, self.unrotated
        super().write()

    def read(self) -> None:
        super().read()
        self.key = torch.cat([self.key[:, :, : self.begin], self.rotated], dim=2)


# --------------------------------------------------------------------------------------------- writing


class At(Writing):
    """Where the new tokens are written."""

    grouping = True

    def write(self) -> None:
        at = self._at()
        self.store.keys[:, :, at : at + self.new] = self.key
        self.store.values[:, :, at : at + self.new] = self.value

    def _at(self) -> int:
        raise NotImplementedError


class WrittenAtTheBeginning(At):
    """the new tokens are written into slots 0 ... L - 1 at every call, over the oldest

    The first call is right; each later one destroys what came first, and leaves its own slots empty.
    """

    def _at(self) -> int:
        return 0


class WrittenAtTheEnd(At):
    """the new tokens are written into the last slots of the cache

    What is read as written are slots that nobody wrote.
    """

    def _at(self) -> int:
        return self.store.keys.size(2) - self.new


class WrittenOneSlotLate(At):
    """the new tokens are written one slot too far: from P + 1 on instead of from P on

    A slot between old and new tokens is read that nobody wrote.
    """

    def _at(self) -> int:
        return self.begin + 1


class WrittenAfterTheNewLength(At):
    """the new tokens are written behind the length that counts them already: from P + L on instead of from P on

    cache.length was advanced before it was read.
    """

    def _at(self) -> int:
        return self.end


class WrittenOverTheLatest(At):
    """the new tokens are written one slot too early, over the latest token

    The latest token is forgotten at every call.
    """

    def _at(self) -> int:
        return max(self.begin - 1, 0)


class ValuesNotWritten(Writing):
    """the new keys are written and the new values are not

    Tokens are found, and hold what was in their slots before.
    """

    def write(self) -> None:
        self.store.keys[:, :, self.begin : self.end] = self.key


class KeysWrittenAsValues(Writing):
    """the new keys are written as values, too

    The output is a mean of keys.
    """

    def write(self) -> None:
        self.value = self.key
        super().write()


class KeysAndValuesExchanged(Writing):
    """the new keys are written among the values and the new values among the keys

    Values are compared and keys are averaged.
    """

    def write(self) -> None:
        self.key, self.value = self.value, self.key
        super().write()


class NothingWritten(Writing):
    """the new tokens attend to the cache and to themselves, and are not written into it

    A call is right, and the next one has forgotten it.
    """

    def write(self) -> None:
        """Left out."""

    def read(self) -> None:
        new = self.key, self.value
        old = self.store.keys[:, :, : self.begin], self.store.values[:, :, : self.begin]
        self.key, self.value = (torch.cat(pair, dim=2) for pair in zip(old, new, strict=True))


class UnwrittenSlotsCleared(Writing):
    """the slots behind the new tokens are overwritten, with zeros or whatever stands there

    The output is right; slots that belong to nobody yet are not the layer's.
    """

    def write(self) -> None:
        super().write()
        for slots in (self.store.keys, self.store.values):
            slots[:, :, self.end :] = 0.0


class Counted(Writing):
    """What the length becomes."""

    grouping = True

    def advance(self) -> None:
        self.store.length = self._counted()

    def _counted(self) -> int:
        raise NotImplementedError


class LengthNotAdvanced(Counted):
    """cache.length stays as it was

    The next call writes over the tokens of this one.
    """

    def _counted(self) -> int:
        return self.begin


class LengthCountedTwice(Counted):
    """cache.length is advanced by 2 L instead of L

    The next call leaves slots out, and reads what is in them.
    """

    def _counted(self) -> int:
        return self.end + self.new


class LengthAdvancedByOne(Counted):
    """cache.length is advanced by 1 at every call instead of by L

    Right for one token at a time; after a prompt all but its first token are written over.
    """

    def _counted(self) -> int:
        return self.begin + 1


class LengthOfTheNewTokens(Counted):
    """cache.length is set to L instead of P + L

    Right for the first call; each later one begins in the middle.
    """

    def _counted(self) -> int:
        return self.new


class CacheReplaced(Writing):
    """cache.keys and cache.values become new tensors, as torch.cat or clone makes them, instead of being written into

    Every step copies the whole cache, and whoever holds the memory that was handed in sees nothing.
    """

    def write(self) -> None:
        self.store.keys, self.store.values = self.store.keys.clone(), self.store.values.clone()
        super().write()


class _OnlyWhatIsWritten(CacheReplaced):
    def write(self) -> None:
        self.store.keys = torch.cat([self.store.keys[:, :, : self.begin], self.key], dim=2)
        self.store.values = torch.cat([self.store.values[:, :, : self.begin], self.value], dim=2)


class _BehindAllSlots(CacheReplaced):
    def write(self) -> None:
        self.store.keys = torch.cat([self.store.keys, self.key], dim=2)
        self.store.values = torch.cat([self.store.values, self.value], dim=2)


class LengthAsATensor(Writing):
    """cache.length becomes a tensor instead of an int

    A step that reads it as a number waits for the device.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return any(isinstance(seen["value"].get("length"), Tensor) for seen, _ in check.looks())


class AttributesAddedToTheCache(Writing):
    """the cache is given attributes that its class does not have

    Whoever copies or moves a cache by its fields loses them.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return any(seen["added"] and not wanted["added"] for seen, wanted in check.looks())


class CacheReturnedToo(Writing):
    """forward returns the output together with the cache instead of the output alone

    The cache is the caller's already.
    """

    def answer(self) -> tuple[Tensor, Any]:
        return self.output, Opaque("learner.KVCache")


class _AsTensors(CacheReturnedToo):
    def answer(self) -> tuple[Tensor, Any]:
        return self.output, (self.store.keys, self.store.values)


# --------------------------------------------------------------------------------------------- reading


class AllSlots(Reading):
    """All slots are read."""

    grouping = True

    def read(self) -> None:
        self.key, self.value = self.store.keys, self.store.values


class UnwrittenSlotsSeen(AllSlots):
    """the new tokens attend to all slots of the cache, also to those that nobody has written

    What lies there gets a weight: zeros, an earlier sequence, NaN.
    """

    def align_causal(self) -> None:
        self.mask = None


class _AsIfTheCacheWereFull(UnwrittenSlotsSeen):
    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(S - L)


class _BehindTheMask(UnwrittenSlotsSeen):
    def align_causal(self) -> None:
        self.mask = torch.ones(self.scores.shape[-2:], dtype=torch.bool).tril(self.begin)
        self.mask[:, self.end :] = True


class _WhereOneTokenIsNew(UnwrittenSlotsSeen):
    def align_causal(self) -> None:
        self.mask = None if self.new == 1 else torch.ones(self.scores.shape[-2:], dtype=torch.bool).tril(self.begin)


class NanLetThrough(AllSlots):
    """slots that are not written are hidden by a mask, but the NaN in them gets through, for NaN times 0 is NaN

    Right while they hold numbers.
    """

    def align_causal(self) -> None:
        self.mask = torch.ones(self.scores.shape[-2:], dtype=torch.bool).tril(self.begin)


# ------------------------------------------------------------------------------------------------ room


class RoomUnchecked(Room):
    """nothing is raised where the new tokens do not fit, or what PyTorch raises when shapes differ

    The error comes later and says less, or tokens are lost.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        called = any(step.request["do"] == "call" for step in check.steps)
        return (
            called and check.should_raise() == "ValueError" and check.raised() not in ("ValueError", "AssertionError")
        )


class FullCacheRefused(Room):
    """the last slot is never used: tokens that fill the cache exactly are refused

    The comparison is >= instead of >.
    """

    def fit(self) -> None:
        if self.end >= self.store.keys.size(2):
            raise Refused("the tokens do not fit into the cache")


class RoomCheckedTooLate(Room):
    """what does not fit is refused, and by then the cache is changed

    Whoever catches the error goes on with a cache that counts tokens which it does not hold.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return any(seen["value"].get("length") != wanted["value"]["length"] for seen, wanted in check.looks(True))


class OddHeadDimUnchecked(Room):
    """nothing is raised where head_dim is odd, and its features cannot be rotated in pairs

    The error comes later and says less.
    """

    def validate_pairs(self) -> None:
        """Left out."""


SHARED = mistakes_in(scale, softmax, fills, projections, heads, groups, chunks, layers)
MISTAKES = (*SHARED, *mistakes_in(sys.modules[__name__]))
