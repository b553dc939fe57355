"""The two functions in named steps: what the diagnosis runs, right or with mistakes in it.

Letters: B batch, L query length, S key length.
"""

import torch
from torch import Tensor

from grading.diagnosis.program import Program


class Padded(Program):
    """What both functions begin with: which tokens are real."""

    given: Tensor
    real: Tensor  # bool (B, S)

    def read(self) -> None:
        self.real = self.given.bool()

    def sides(self) -> None:
        """Each row has its pads where its attention mask has them."""

    @property
    def slots(self) -> Tensor:
        return torch.arange(self.given.size(-1))

    @property
    def counts(self) -> Tensor:
        """How many real tokens each row has, (B, 1)."""
        return self.real.sum(dim=-1, keepdim=True)


class Positions(Padded):
    tokens: Tensor  # what is summed, (B, S)
    position: Tensor

    def __call__(self, attention_mask: Tensor) -> Tensor:
        self.given = attention_mask
        self.read()
        self.sides()
        self.numbers()
        self.count()
        self.fill_pads()
        self.deliver()
        return self.position

    def numbers(self) -> None:
        """Summed as integers."""
        self.tokens = self.real.long()

    def count(self) -> None:
        """A running sum counts the token itself, too."""
        self.position = self.tokens.cumsum(dim=-1) - 1

    def fill_pads(self) -> None:
        self.position = self.position.masked_fill(~self.real, 0)

    def deliver(self) -> None:
        """As it is: int64 (B, S)."""


class PaddedMask(Padded):
    query_len: int
    first: Tensor | int  # the slot that the first query is taken for
    keys: Tensor  # what may be seen for the key's sake, broadcastable to (B, 1, L, S)
    causal: Tensor  # what may be seen for the order's sake, broadcastable to (B, 1, L, S)
    mask: Tensor

    def __call__(self, attention_mask: Tensor, query_len: int | None = None) -> Tensor:
        self.given = attention_mask
        self.query_len = attention_mask.size(-1) if query_len is None else query_len
        self.read()
        self.sides()
        self.rows()
        self.align()
        self.triangle()
        self.hide_pads()
        self.combine()
        self.open_rows()
        self.orient()
        self.shape()
        self.cast()
        return self.mask

    def rows(self) -> None:
        """A row of the mask for each of the last query_len slots."""

    def align(self) -> None:
        self.first = self.given.size(-1) - self.query_len

    def queries(self) -> Tensor:
        """The slot that each query is taken for, (L, 1)."""
        return torch.arange(self.query_len)[:, None] + self.first

    def triangle(self) -> None:
        self.causal = self.slots <= self.queries()

    def hide_pads(self) -> None:
        self.keys = self.real[:, None, None, :]

    def combine(self) -> None:
        self.mask = self.causal & self.keys

    def open_rows(self) -> None:
        """A query that sees nothing sees nothing."""

    def orient(self) -> None:
        """True means may attend, a row is a query."""

    def shape(self) -> None:
        """(B, 1, L, S), as it is."""

    def cast(self) -> None:
        """bool, as it is."""
