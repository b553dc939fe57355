"""What people do wrong in the rolling cache: the sinks."""

import torch

from grading.diagnosis.mistake import Mistake
from katas.sliding_window.program import RollingUpdate


class Sinks(Mistake, RollingUpdate):
    see = "sliding_window#Sinks-in-the-cache"


class SinksEvicted(Sinks):
    """num_sinks has no effect on the cache: the first tokens are dropped like all others

    Later queries do not find the sinks.
    """

    def keep_sinks(self) -> None:
        self.sink = torch.zeros_like(self.newest)


class SinksCountInTheCache(Sinks):
    """sinks count in what is held: with them there are `window` tokens in all instead of num_sinks + window

    The window is as much shorter as there are sinks.
    """

    def keep_last(self) -> None:
        self.newest = self.place >= self.end - self.window + self.num_sinks


class SinksHeldTwice(Sinks):
    """the sinks are put before the last `window` tokens, also those that are among these already

    As long as the sequence is short, tokens are held twice and get twice their weight.
    """

    def evict(self) -> None:
        self.select(torch.cat([self.sink.nonzero().flatten(), self.newest.nonzero().flatten()]))


class _SinksOfTheRowTwice(SinksHeldTwice):
    def evict(self) -> None:
        row = torch.arange(len(self.position))
        self.select(torch.cat([row[: self.num_sinks], row[-self.window :]]))


class SinksOfTheChunk(Sinks):
    """the first tokens of each chunk are taken for the sinks, and not those of the sequence

    Right for the first chunk.
    """

    def keep_sinks(self) -> None:
        of_chunk = torch.arange(len(self.position)) - (len(self.position) - self.length)
        self.sink = (of_chunk >= 0) & (of_chunk < self.num_sinks)


class SinksOfTheFirstChunkOnly(Sinks):
    """the sinks are what the first chunk has of them: later chunks add none

    Right for a first chunk of num_sinks tokens or more.
    """

    def keep_sinks(self) -> None:
        is_old = torch.arange(len(self.position)) < len(self.position) - self.length
        self.sink = (self.place < self.num_sinks) & (is_old | self.is_first)


class FirstChunkCutWithoutSinks(Sinks):
    """of the first chunk the last `window` tokens are held and not the sinks

    Right for a first chunk that fits into the window.
    """

    def keep_sinks(self) -> None:
        super().keep_sinks()
        if self.is_first:
            self.sink = torch.zeros_like(self.newest)


class OneSinkHeldTooMany(Sinks):
    """the first num_sinks + 1 tokens are held as sinks instead of num_sinks

    Without sinks the first token is one.
    """

    def keep_sinks(self) -> None:
        self.sink = self.place <= self.num_sinks


class OneSinkHeldTooFew(Sinks):
    """the first num_sinks - 1 tokens are held as sinks instead of num_sinks

    The last of them is dropped.
    """

    def keep_sinks(self) -> None:
        self.sink = self.place < self.num_sinks - 1
