"""What people do wrong in the rolling cache: which tokens are held."""

import torch

from grading.diagnosis.mistake import Mistake
from katas.sliding_window.program import RollingUpdate


class Held(Mistake, RollingUpdate):
    see = "sliding_window#What-is-held"


class Order(Mistake, RollingUpdate):
    see = "sliding_window#First-append-then-evict"


class Age(Mistake, RollingUpdate):
    """How old a token is, told in another way than by the positions that are returned: no mistake, a style."""

    grouping = True
    sound = True
    beside = frozenset({"number", "relabel", "count", "append", "trim", "evict", "cast_cache", "take"})


class ByPlace(Age):
    """By its place in the row: the sinks are first and the newest is last."""

    def age(self) -> None:
        self.place, self.end = torch.arange(len(self.position)), len(self.position)


class BySlot(Age):
    """By its slot in a ring."""

    def age(self) -> None:
        held = torch.arange(len(self.position) - self.length)
        latest = self.before - self.num_sinks - 1
        turned = latest - (latest - (held - self.num_sinks)) % self.window + self.num_sinks
        held = held.where(held < self.num_sinks, turned)
        self.end = self.before + self.length
        self.place = torch.cat([held, torch.arange(self.before, self.end)])[-len(self.position) :]


class ByWhatCame(Age):
    """By the positions, and the tokens that came before and now, whatever is returned as seen."""

    def age(self) -> None:
        self.place, self.end = self.position, self.before + self.length


# --------------------------------------------------------------------------------------------- the window


class NothingEvicted(Held):
    """nothing is dropped: the cache holds all tokens

    It grows with the sequence, and the window saves no memory.
    """

    def evict(self) -> None:
        """Left out."""


class OneHeldTooMany(Held):
    """the last window + 1 tokens are held instead of the last `window`

    No later query sees the oldest of them.
    """

    def keep_last(self) -> None:
        self.newest = self.place >= self.end - self.window - 1


class OneHeldTooFew(Held):
    """the last window - 1 tokens are held instead of the last `window`

    The next token needs no more than these; the contract asks for `window`.
    """

    def keep_last(self) -> None:
        self.newest = self.place >= self.end - self.window + 1


class OldestHeld(Held):
    """the first `window` tokens are held instead of the last

    Once the cache is full, nothing new comes in.
    """

    def keep_last(self) -> None:
        self.newest = torch.arange(len(self.position)) < self.window


class NothingHeldFromBefore(Held):
    """the cache is forgotten at each chunk: only tokens of the newest chunk are held

    A step after a prompt knows one token.
    """

    def append(self) -> None:
        self.key, self.value = self.chunk
        self.position = self.new


class ForgottenWhenFull(Held):
    """where the chunk does not fit beside what is held, all that is held is dropped instead of the oldest

    Right until the cache is full for the first time.
    """

    def trim(self) -> None:
        if len(self.position) + self.length > self.window + self.num_sinks:
            self.select(torch.arange(0))


class _InTheWindowAlone(ForgottenWhenFull):
    def trim(self) -> None:
        if len(self.position) + self.length > self.window:
            self.select(torch.arange(0))


class _BesideTheSinks(ForgottenWhenFull):
    def trim(self) -> None:
        if len(self.position) + self.length > self.window + self.num_sinks:
            self.select(self.position < self.num_sinks)


class EvictedAmongHeads(Held):
    """keys and values are cut along the heads, which come before the tokens, and not along the tokens

    Heads are lost, or none is and all tokens stay.
    """

    def evict(self) -> None:
        self.key, self.value = self.key[:, -self.window :], self.value[:, -self.window :]
        self.position = self.position[self.newest | self.sink]


class ValuesNotEvicted(Held):
    """keys are dropped and values are not

    Values no longer belong to the keys beside them.
    """

    def evict(self) -> None:
        held = self.newest | self.sink
        self.key, self.position = self.key[:, :, held], self.position[held]


class PositionsNotEvicted(Held):
    """keys and values are dropped and their positions are not

    There are more positions than tokens.
    """

    def evict(self) -> None:
        held = self.newest | self.sink
        self.key, self.value = self.key[:, :, held], self.value[:, :, held]


# ---------------------------------------------------------------------------------------- append, then evict


class EvictedBeforeAppending(Order):
    """what is too old is dropped before the chunk comes in instead of after it

    The cache holds the old window and the chunk: the longer the chunk, the more.
    """

    def keep_last(self) -> None:
        self.newest = self.place >= self.end - self.length - self.window


class LongChunkHeldWhole(Order):
    """a chunk is held whole, however long it is: only older tokens are dropped for it

    A prompt longer than the window stays in the cache until the next chunk.
    """

    def keep_last(self) -> None:
        self.newest = self.place >= self.end - max(self.window, self.length)


class FirstChunkHeldWhole(Order):
    """the first chunk is held whole, however long it is: only later ones are cut

    A prompt longer than the window stays in the cache until the next chunk.
    """

    def keep_last(self) -> None:
        super().keep_last()
        if self.is_first:
            self.newest = torch.ones_like(self.newest)


class OneDroppedAtATime(Order):
    """at most one token is dropped at each call, whatever the length of the chunk

    Right for one token at a time; with chunks the cache grows.
    """

    def evict(self) -> None:
        surplus = (~(self.newest | self.sink)).nonzero()
        held = torch.ones_like(self.newest)
        held[surplus[:1]] = False
        self.select(held)


class AsManyDroppedAsCome(Order):
    """each chunk drops as many of the oldest tokens as it has itself, whether there is room or not

    The cache never grows beyond its first chunk.
    """

    def trim(self) -> None:
        self.select(torch.arange(len(self.position))[self.length :])


class _AsManyButSinks(AsManyDroppedAsCome):
    def trim(self) -> None:
        kept = self.position < self.num_sinks
        kept[(~kept).nonzero().flatten()[self.length :]] = True
        self.select(kept)


class OnlyTheLastTokenTaken(Order):
    """of each chunk only the last token comes into the cache

    Right for one token at a time.
    """

    def append(self) -> None:
        super().append()
        self.select(torch.tensor([*range(self._old), len(self.position) - 1]))

    @property
    def _old(self) -> int:
        """How many tokens come before the chunk."""
        return len(self.position) - self.length


class _OfLaterChunks(OnlyTheLastTokenTaken):
    def append(self) -> None:
        if self.is_first:
            RollingUpdate.append(self)
        else:
            super().append()


class OnlyTheFirstTokenTaken(OnlyTheLastTokenTaken):
    """of each chunk only the first token comes into the cache

    Right for one token at a time.
    """

    def append(self) -> None:
        RollingUpdate.append(self)
        self.select(torch.arange(self._old + 1))


class _FirstOfLaterChunks(OnlyTheFirstTokenTaken):
    def append(self) -> None:
        if self.is_first:
            RollingUpdate.append(self)
        else:
            super().append()


class NewTokensFirst(Order):
    """the chunk is put before what is held, and the end of that row stays: the oldest tokens

    Once the cache is full, nothing new stays in it.
    """

    def append(self) -> None:
        super().append()
        self.select(torch.arange(len(self.position)).roll(self.length))

    def keep_last(self) -> None:
        self.newest = torch.arange(len(self.position)) >= len(self.position) - self.window
