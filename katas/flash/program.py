"""Attention in blocks, and a merge, in named steps.

The steps before the softmax are those of all attention, over all the scores at once; then the loop over the blocks. A
step in the loop says what each key counts in the sum, and what it counts in the output: these are numbers of their own,
so that either can go wrong alone. Only values matter here, not memory.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from grading.diagnosis.program import Program
from katas.attention.program import Attention


class Blockwise(Attention):
    """Attention in blocks of keys."""

    block_size: int
    blocks: list[tuple[int, int]]  # where each block begins and ends
    start: int  # of the block in hand
    stop: int
    block: Tensor  # its scores (..., L, n)
    top: Tensor  # the running maximum (..., L, 1)
    larger: Tensor  # the one after the block
    shrink: Tensor  # what brings what was summed before to it
    powers: Tensor  # (..., L, n)
    total: Tensor  # the running sum (..., L, 1)
    counts: Tensor  # what each key counts in the output so far, before the division (..., L, S)
    lse: Tensor  # (..., L)

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, block_size: int = 32
    ) -> Any:
        self.block_size = block_size
        self.check_block_size()
        return super().__call__(query, key, value, mask)

    def check_block_size(self) -> None:
        if self.block_size < 1:
            raise ValueError("block_size has to be at least 1")

    def receive(self) -> None:
        """Half inputs are computed in float32."""
        if self.query.dtype.itemsize < 4:
            self.query, self.key, self.value = self.query.float(), self.key.float(), self.value.float()

    def fill(self) -> None:
        if self.mask is not None:
            self.scores = self.scores.masked_fill(~self.mask, -math.inf)

    def normalise(self) -> None:
        """All the blocks, and the division at the end."""
        self.begin()
        self.cut()
        for start, stop in self.blocks:
            self.start, self.stop = start, stop
            self.look()
            self.exponentiate()
            self.compare()
            self.rescale_sum()
            self.rescale_output()
            self.add_to_sum()
            self.add_to_output()
            self.top = self.larger
        self.divide()

    def begin(self) -> None:
        """Nothing is seen yet."""
        self.top = self.scores.new_full((*self.scores.shape[:-1], 1), -math.inf)
        self.total, self.counts = torch.zeros_like(self.top), torch.zeros_like(self.scores)

    def cut(self) -> None:
        S = self.scores.size(-1)
        self.blocks = [(at, min(at + self.block_size, S)) for at in range(0, S, self.block_size)]

    def look(self) -> None:
        """The scores of the block, and the maximum with it."""
        self.block = self.scores[..., self.start : self.stop]
        self.larger = torch.maximum(self.top, self.largest())

    def largest(self) -> Tensor:
        """Of the block, without a gradient: in the end it cancels."""
        return self.block.detach().amax(dim=-1, keepdim=True)

    def exponentiate(self) -> None:
        self.powers = (self.block - self.shift(self.larger)).exp()

    def compare(self) -> None:
        self.shrink = (self.top - self.shift(self.larger)).exp()

    def rescale_sum(self) -> None:
        self.total = self.total * self.shrink

    def rescale_output(self) -> None:
        self.counts = self.counts * self.shrink

    def add_to_sum(self) -> None:
        self.total = self.total + self.powers.sum(dim=-1, keepdim=True)

    def add_to_output(self) -> None:
        self.put(self.powers)

    def divide(self) -> None:
        """By 1 where no key was seen."""
        self.weights = self.counts / self.total.masked_fill(self.total == 0, 1.0)

    def clear(self) -> None:
        """The row of a query without keys is zero already."""

    def attend(self) -> None:
        super().attend()
        self.log_sum()
        self.shape_lse()

    def log_sum(self) -> None:
        total = self.total.masked_fill(self.total == 0, 1.0)
        self.lse = torch.where(self.total == 0, -math.inf, self.top + total.log())

    def shape_lse(self) -> None:
        """Its shape and its dtype."""
        self.lse = self.lse.squeeze(-1)

    def answer(self) -> Any:
        return self.output, self.lse

    def shift(self, top: Tensor) -> Tensor:
        """What is subtracted: 0 where nothing is seen yet."""
        return top.masked_fill(top == -math.inf, 0.0)

    def put(self, powers: Tensor) -> None:
        """Let the keys of the block count that much, beside what they count already."""
        before, after = self.start, self.scores.size(-1) - self.stop
        self.counts = self.counts + torch.nn.functional.pad(powers[..., : self.stop - self.start], (before, after))


class Merge(Program):
    """Two parts merged."""

    output_a: Tensor
    output_b: Tensor
    lse_a: Tensor
    lse_b: Tensor
    shift: Tensor
    part_a: Tensor  # what each of them counts (..., L)
    part_b: Tensor
    total: Tensor
    output: Tensor
    lse: Tensor

    def __call__(self, output_a: Tensor, lse_a: Tensor, output_b: Tensor, lse_b: Tensor) -> Any:
        self.output_a, self.lse_a, self.output_b, self.lse_b = output_a, lse_a, output_b, lse_b
        self.find_larger()
        self.count_parts()
        self.add_parts()
        self.mix()
        self.merge_lse()
        self.deliver()
        return self.output, self.lse

    def find_larger(self) -> None:
        larger = self.larger()
        self.shift = larger.masked_fill(larger == -math.inf, 0.0)

    def larger(self) -> Tensor:
        """Of the two, without a gradient: in the end it cancels."""
        return torch.maximum(self.lse_a, self.lse_b).detach()

    def count_parts(self) -> None:
        self.part_a, self.part_b = (self.lse_a - self.shift).exp(), (self.lse_b - self.shift).exp()

    def add_parts(self) -> None:
        self.total = self.part_a + self.part_b

    def mix(self) -> None:
        total = self.total.masked_fill(self.total == 0, 1.0)
        self.output = (self.part_a / total)[..., None] * self.output_a + (self.part_b / total)[
            ..., None
        ] * self.output_b

    def merge_lse(self) -> None:
        total = self.total.masked_fill(self.total == 0, 1.0)
        self.lse = torch.where(self.total == 0, -math.inf, self.shift + total.log())

    def deliver(self) -> None:
        """In the dtype that the outputs came in."""
        self.output = self.output.to(self.output_a.dtype)
