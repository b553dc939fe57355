"""The two functions in named steps: what the diagnosis runs, right or with mistakes in it.

Letters: B batch, L query length or new tokens, S key length, K num_kv_heads, T tokens held.
"""

from typing import Any

import torch
from torch import Tensor

from grading.diagnosis.program import Program


class WindowMask(Program):
    first: int  # the position of the first query
    recent: Tensor  # what may be seen because it is near, (L, S)
    sink: Tensor  # what may be seen because it is a sink, broadcastable to (L, S)
    past: Tensor  # what may be seen for the order's sake, (L, S)
    mask: Tensor

    def __call__(self, query_len: int, key_len: int, window: int, num_sinks: int = 0) -> Tensor:
        self.query_len, self.key_len, self.window, self.num_sinks = query_len, key_len, window, num_sinks
        self.align()
        self.near()
        self.mark_sinks()
        self.hide_later()
        self.combine()
        self.orient()
        self.shape_mask()
        self.cast_mask()
        return self.mask

    @property
    def keys(self) -> Tensor:
        """(S)"""
        return torch.arange(self.key_len)

    @property
    def ahead(self) -> Tensor:
        """How far each query is ahead of each key, (L, S)."""
        return torch.arange(self.first, self.first + self.query_len)[:, None] - self.keys

    def align(self) -> None:
        """The queries are the last positions."""
        self.first = self.key_len - self.query_len

    def near(self) -> None:
        self.recent = self.ahead < self.window

    def mark_sinks(self) -> None:
        self.sink = self.keys < self.num_sinks

    def hide_later(self) -> None:
        self.past = self.ahead >= 0

    def combine(self) -> None:
        self.mask = (self.recent | self.sink) & self.past

    def orient(self) -> None:
        """True means may attend, a row is a query."""

    def shape_mask(self) -> None:
        """(L, S), as it is."""

    def cast_mask(self) -> None:
        """bool, as it is."""


class RollingUpdate(Program):
    seen: int  # how many tokens there have been
    before: int  # how many of them were there before the chunk
    key: Tensor  # (B, K, T + L, E) once the chunk is there
    value: Tensor
    position: Tensor  # (T + L)
    new: Tensor  # the positions of the chunk, (L)
    place: Tensor  # by what it is told how old a token is, (T + L)
    end: int  # the place after the newest
    newest: Tensor  # which tokens are held because they are among the last, (T + L)
    sink: Tensor  # which are held because they are sinks

    def __call__(
        self, cache: tuple[Any, ...] | None, keys: Tensor, values: Tensor, window: int, num_sinks: int = 0
    ) -> Any:
        self.chunk = keys, values
        self.window, self.num_sinks, self.is_first = window, num_sinks, cache is None
        self.take()
        none = self.chunk[0][:, :, :0], self.chunk[1][:, :, :0], torch.arange(0), 0
        self.key, self.value, self.position, self.before = none if cache is None else cache
        self.trim()
        self.number()
        self.append()
        self.count()
        self.age()
        self.keep_last()
        self.keep_sinks()
        self.evict()
        self.relabel()
        self.cast_cache()
        return self.answer()

    @classmethod
    def in_order(cls, value: Any) -> Any:
        """Tokens may lie in any order: answers are compared in the order of the positions."""
        if not isinstance(value, tuple | list) or len(value) != 4:
            return value
        keys, values, positions, seen = value
        if not isinstance(positions, Tensor) or positions.dim() != 1:
            return value
        for part in (keys, values):
            if not isinstance(part, Tensor) or part.dim() != 4 or part.size(2) != len(positions):
                return value
        order = positions.argsort(stable=True)
        return keys[:, :, order], values[:, :, order], positions[order], seen

    @property
    def length(self) -> int:
        """L"""
        return self.chunk[0].size(2)

    def select(self, chosen: Tensor) -> None:
        """Hold these tokens, by booleans or by indices."""
        self.key, self.value, self.position = self.key[:, :, chosen], self.value[:, :, chosen], self.position[chosen]

    def trim(self) -> None:
        """Nothing is dropped before the chunk is there."""

    def take(self) -> None:
        """The chunk is taken whole, and as it is."""

    def number(self) -> None:
        """The positions of the chunk."""
        self.new = torch.arange(self.before, self.before + self.length)

    def append(self) -> None:
        """The chunk goes behind what is held."""
        self.key = torch.cat([self.key, self.chunk[0]], dim=2)
        self.value = torch.cat([self.value, self.chunk[1]], dim=2)
        self.position = torch.cat([self.position, self.new])

    def count(self) -> None:
        self.seen = self.before + self.length

    def age(self) -> None:
        """Told by the positions and by how many tokens there have been."""
        self.place, self.end = self.position, self.seen

    def keep_last(self) -> None:
        self.newest = self.place >= self.end - self.window

    def keep_sinks(self) -> None:
        self.sink = self.place < self.num_sinks

    def evict(self) -> None:
        self.select(self.newest | self.sink)

    def relabel(self) -> None:
        """Positions stay what they are."""

    def cast_cache(self) -> None:
        """The dtypes of keys and values, and int64."""

    def answer(self) -> Any:
        return self.key, self.value, self.position, self.seen
