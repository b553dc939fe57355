"""A KV cache in pages in named steps, for the diagnosis, and its star. Both functions go row by row."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from grading.candidate.learner import Learner
from grading.diagnosis.program import Program
from grading.diagnosis.raised import Refused
from katas.attention.program import Attention, Continued
from katas.attention.star import CONTEXT, LLAMA_KV_HEADS, MemoryStar, cache_gib


class Located(Program):
    """Where the tokens of a row lie."""

    pools: tuple[Tensor, Tensor]
    table: Tensor  # (B, N)
    lengths: Tensor
    row: int
    new: int  # L
    size: int  # slots of a page
    length: int  # of the row
    positions: Tensor  # (T) of the tokens that are written or read
    entries: Tensor  # (T) the entry of the table that each belongs to
    slots: Tensor  # (T)
    pages: Tensor  # (T) of the pool

    def _find(self) -> None:
        self.measure()
        self.count()
        self.position()
        self.cut()
        self.look_up()

    def measure(self) -> None:
        """How many slots a page has."""
        self.size = self.pools[0].size(1)

    def count(self) -> None:
        """How many tokens the row has."""
        self.length = int(self.lengths[self.row])

    def position(self) -> None:
        """Which tokens of the row are asked for."""
        raise NotImplementedError

    def cut(self) -> None:
        self.entries, self.slots = self.positions // self.size, self.positions % self.size

    def look_up(self) -> None:
        self.pages = self.table[self.row, self.entries]

    def turn(self, x: Tensor) -> Tensor:
        """Heads and tokens change places."""
        return x.transpose(0, 1)

    @property
    def used(self) -> int:
        """How many pages hold the tokens up to the last that is asked for."""
        return int(self.positions.max()) // self.size + 1


class Write(Located):
    """New tokens are put behind those that are written."""

    keys: Tensor  # (B, K, L, E)
    values: Tensor
    given: tuple[Tensor, Tensor]  # the new tokens of the row, (L, K, E)

    def __call__(
        self,
        key_pages: Tensor,
        value_pages: Tensor,
        block_table: Tensor,
        lengths: Tensor,
        keys: Tensor,
        values: Tensor,
    ) -> None:
        self.pools, self.table, self.lengths = (key_pages, value_pages), block_table, lengths
        self.keys, self.values, self.new = keys, values, keys.size(2)
        self.measure()
        self.fit()
        self.take()
        for row in range(block_table.size(0)):
            self.row = row
            self._find()
            self.given = self.turn(self.keys[row]), self.turn(self.values[row])
            self.put()
        self.count_up()

    def fit(self) -> None:
        """The new tokens have to fit into the pages of each row."""
        if int(self.lengths.max()) + self.new > self.table.size(1) * self.size:
            raise Refused("the tokens do not fit into the pages of a row")

    def take(self) -> None:
        """Keys are keys, and values are values."""

    def position(self) -> None:
        self.positions = torch.arange(self.length, self.length + self.new)

    def put(self) -> None:
        """Each token into its slot."""
        for i, (page, slot) in enumerate(zip(self.pages.tolist(), self.slots.tolist(), strict=True)):
            for pool, given in zip(self.pools, self.given, strict=True):
                pool[page, slot] = given[i]

    def count_up(self) -> None:
        """The lengths are the caller's."""


class PagedAttention(Located, Continued, Attention):
    """Attention of the last tokens of each row over all of them."""

    longest: int  # of the rows

    def __call__(  # type: ignore[override]
        self, query: Tensor, key_pages: Tensor, value_pages: Tensor, block_table: Tensor, lengths: Tensor
    ) -> Any:
        self.pools, self.table, self.lengths = (key_pages, value_pages), block_table, lengths
        self.dtype, self.new, self.longest = query.dtype, query.size(2), int(lengths.max())
        self.heads, self.kv_heads, self.head_dim = query.size(1), key_pages.size(2), query.size(3)
        outputs = []
        for row in range(query.size(0)):
            self.row, self.mask = row, None
            self._find()
            self.query = query[row : row + 1]
            self.gather()
            self.past = (self.key, self.value) if self.length > self.new else None
            self.receive()
            self.share()
            self.attend()
            self.deliver()
            outputs.append(self.output)
        self.output = torch.cat(outputs)
        return self.answer()

    def position(self) -> None:
        self.positions = torch.arange(self.length)

    def gather(self) -> None:
        """(1, K, S, E), as they follow one another in the row."""
        key, value = (self.turn(pool[self.pages, self.slots])[None] for pool in self.pools)
        self.key, self.value = key, value

    def receive(self) -> None:
        """Half inputs are computed in float32."""
        if self.query.dtype.itemsize < 4:
            self.query, self.key, self.value = self.query.float(), self.key.float(), self.value.float()


class PagedStar(MemoryStar):
    """Whether reading makes one tensor of the keys or values of a row, in sizes of a row's keys and values.

    Where the keys of a row are gathered it is half of that, and more where values are, or all the rows. A page of each
    row is small beside it, and the scores and weights of one new token are a quarter of it. The bound lies between.
    """

    templates = (
        "right; pages are read where they lie, and no row is gathered into one tensor",
        "right; but reading holds {peak:.2g} times the keys and values of a row, in tensors beside the pool: at "
        "Llama-3-8B size and {tokens:,} tokens a step writes at least {copies:.2g} GiB that lie in the pool already",
    )
    bound = 0.357
    HEADS, KV_HEADS, HEAD_DIM, PAGE, PAGES, BATCH = 4, 2, 64, 16, 32, 2

    def peak(self, learner: Learner) -> float:
        shape = (self.BATCH * self.PAGES, self.PAGE, self.KV_HEADS, self.HEAD_DIM)
        pool = torch.zeros(1, 1, 1, 1).expand(shape)
        table = torch.arange(self.BATCH * self.PAGES).flip(0).view(self.BATCH, self.PAGES)
        lengths = torch.full((self.BATCH,), self.PAGES * self.PAGE - 3)
        ask: Any = learner.paged_attention
        taken = ask.peak(torch.ones(self.BATCH, self.HEADS, 1, self.HEAD_DIM), pool, pool, table, lengths)
        row = 2 * math.prod(shape) // self.BATCH * pool.element_size()
        return float(taken) / row

    def said(self, peak: float) -> tuple[str, dict[str, float]]:
        if peak < self.bound:
            return self.templates[0], {}
        return self.templates[1], {"peak": peak, "tokens": CONTEXT, "copies": peak * cache_gib(LLAMA_KV_HEADS)}
