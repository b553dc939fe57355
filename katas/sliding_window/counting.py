"""What people do wrong in the rolling cache: positions and the count of tokens, and what a cache is made of."""

import torch

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.sliding_window.program import RollingUpdate


class Positions(Mistake, RollingUpdate):
    see = "sliding_window#Positions-that-stay"


class Counted(Mistake, RollingUpdate):
    see = "sliding_window#Positions-that-stay"


class Made(Mistake, RollingUpdate):
    see = "sliding_window#The-form-of-the-cache"


# --------------------------------------------------------------------------------------------- positions


class PositionsRenumbered(Positions):
    """the tokens that are held are numbered 0, 1, ... after each call: positions are places in the cache

    Once something was dropped, tokens have other positions than in the sequence.
    """

    def relabel(self) -> None:
        self.position = torch.arange(len(self.position))


class PositionsOfTheWindow(Positions):
    """the positions after each call are those of the last T tokens, as if there were no sinks

    The sinks move along with the window.
    """

    def relabel(self) -> None:
        self.position = torch.arange(self.before + self.length - len(self.position), self.before + self.length)


class PositionsFromTheTokensHeld(Positions):
    """the positions of a chunk begin at the number of tokens held, T, instead of at the number seen

    Right until the first token is dropped; from then on new tokens share positions with old ones.
    """

    def number(self) -> None:
        self.new = torch.arange(len(self.position), len(self.position) + self.length)


class ChunkPositionsFromZero(Positions):
    """the positions of each chunk are 0, 1, ..., whatever came before it

    All chunks look like the beginning of the sequence.
    """

    def number(self) -> None:
        self.new = torch.arange(self.length)


class ChunkPositionsFromOne(Positions):
    """positions are counted from 1 instead of 0

    The first token is no longer the first.
    """

    def number(self) -> None:
        self.new = torch.arange(self.before, self.before + self.length) + 1


class ChunkPositionsAfterTheChunk(Positions):
    """the positions of a chunk begin at the number of tokens seen with it instead of before it

    seen was advanced before it was read.
    """

    def number(self) -> None:
        self.new = torch.arange(self.before + self.length, self.before + 2 * self.length)


class OnePositionForTheChunk(Positions):
    """all tokens of a chunk get one position

    Right for one token at a time.
    """

    def number(self) -> None:
        self.new = torch.full((self.length,), self.before)


class _ItsLast(OnePositionForTheChunk):
    def number(self) -> None:
        self.new = torch.full((self.length,), self.before + self.length - 1)


class ChunkTakenForOneToken(Positions):
    """a chunk counts as one token: all of it gets one position, and seen is advanced by 1

    Right for one token at a time.
    """

    def number(self) -> None:
        self.new = torch.full((self.length,), self.before)

    def count(self) -> None:
        self.seen = self.before + 1


class PositionsAreSlots(Positions):
    """positions are slots of a ring and not places in the sequence

    Which of two tokens came first can no longer be told.
    """

    def relabel(self) -> None:
        turned = self.num_sinks + (self.position - self.num_sinks) % self.window
        self.position = self.position.where(self.position < self.num_sinks, turned)


class _SlotsOfAll(PositionsAreSlots):
    def relabel(self) -> None:
        self.position = self.position % (self.window + self.num_sinks)


class _SlotsOfTheWindow(PositionsAreSlots):
    def relabel(self) -> None:
        self.position = self.position % self.window


# ------------------------------------------------------------------------------------------------ seen


class SeenIsHeld(Counted):
    """seen is the number of tokens held instead of that of all tokens so far

    From the first token that is dropped on, positions stand still.
    """

    def answer(self) -> object:
        return self.key, self.value, self.position, self.key.size(2)


class SeenOfTheChunk(Counted):
    """seen is the length of the latest chunk

    Right for the first chunk.
    """

    def count(self) -> None:
        self.seen = self.length


class SeenNotAdvanced(Counted):
    """seen stays what it was before the chunk

    The next chunk gets the positions of this one.
    """

    def count(self) -> None:
        self.seen = self.before


class SeenAdvancedByOne(Counted):
    """seen is advanced by 1 at each call instead of by the length of the chunk

    Right for one token at a time.
    """

    def count(self) -> None:
        self.seen = self.before + 1


class SeenCountedTwice(Counted):
    """seen is advanced by twice the length of the chunk

    Positions are left out.
    """

    def count(self) -> None:
        self.seen = self.before + 2 * self.length


class SeenOfHeldAndChunk(Counted):
    """seen is the number of tokens held before and that of the chunk, instead of all so far and the chunk

    From the first token that is dropped on, the count falls behind.
    """

    def count(self) -> None:
        self.seen = len(self.position)


class SeenIsTheLastPosition(Counted):
    """seen is the position of the latest token instead of the number of tokens

    The next token gets a position that is taken.
    """

    def count(self) -> None:
        self.seen = self.before + self.length - 1


# --------------------------------------------------------------------------------- what a cache is made of


class ValuesForKeys(Made):
    """the values are put into the keys as well

    Queries meet values.
    """

    def take(self) -> None:
        self.chunk = self.chunk[1], self.chunk[1]


class KeysForValues(Made):
    """the keys are put into the values as well

    The output is a mean of keys.
    """

    def take(self) -> None:
        self.chunk = self.chunk[0], self.chunk[0]


class CacheInFloat32(Made):
    """keys and values are float32, whatever they came as: the dtype in which torch.zeros allocates

    A float16 model pays twice the memory, and a product of two dtypes is an error.
    """

    def cast_cache(self) -> None:
        self.key, self.value = self.key.float(), self.value.float()


class PositionsNotInteger(Made):
    """positions are not int64

    They are no indices, and in a half type large ones are not exact.
    """

    def cast_cache(self) -> None:
        self.position = self.position.float()


class _InInt32(PositionsNotInteger):
    def cast_cache(self) -> None:
        self.position = self.position.int()


class _InTheDtypeOfKeys(PositionsNotInteger):
    def cast_cache(self) -> None:
        self.position = self.position.to(self.key.dtype)


class SeenAsATensor(Made):
    """seen is a tensor instead of an int

    A step that reads it as a number waits for the device.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        value = check.steps[-1].reply.get("value")
        return isinstance(value, tuple | list) and len(value) == 4 and isinstance(value[3], torch.Tensor)


class SeenNotReturned(Made):
    """the cache is (keys, values, positions), without seen

    How many tokens there were cannot be told from what is held.
    """

    def answer(self) -> object:
        return self.key, self.value, self.position


class PositionsNotReturned(Made):
    """the cache is (keys, values, seen), without positions

    Which of the tokens are sinks cannot be told.
    """

    def answer(self) -> object:
        return self.key, self.value, self.seen


class EmptySlotsReturned(Made):
    """all slots of the ring are returned, also those that hold no token yet

    Zeros are keys like any other: each gets a score of 0, and a weight.
    """

    empty = -1

    def cast_cache(self) -> None:
        missing = self.window + self.num_sinks - len(self.position)
        if missing > 0:
            self.key, self.value = (
                torch.cat([part, part.new_zeros(*part.shape[:2], missing, part.size(3))], dim=2)
                for part in (self.key, self.value)
            )
            self.position = torch.cat([self.position, torch.full((missing,), self.empty)])


class _EmptyIsZero(EmptySlotsReturned):
    empty = 0


class CacheWrittenInPlace(Made):
    """the cache that is handed in is changed, or the new keys and values are

    Whoever goes on from it a second time, or reads what was there, finds other tokens.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return bool(check.modified())
