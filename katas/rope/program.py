"""A rotation in named steps: what the diagnosis runs, right or with mistakes in it.

A program of a layer that rotates its queries and keys inherits from Rotation too, and calls `rotated` for each of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from grading.diagnosis.program import Program


class Rotation(Program):
    """Letters: B batch, H num_heads, L length, E head_dim."""

    x: Tensor  # (..., L, E), what is turned
    positions: Tensor  # (L,) or (B, L)
    base: float
    interleaved: bool
    width: int  # E
    work: torch.dtype
    exponent: Tensor  # (E/2,)
    frequency: Tensor  # (E/2,)
    place: Tensor  # positions, broadcastable to (..., L)
    angle: Tensor  # (..., L, E/2), then (..., L, E)
    partner: Tensor  # (..., L, E), for each feature the other one of its pair, with its sign
    turned: Tensor  # (..., L, E)

    def rotated(self, x: Tensor, positions: Tensor, base: float = 10000.0, interleaved: bool = False) -> Tensor:
        """x, turned."""
        self.x, self.positions, self.base, self.interleaved = x, positions, base, interleaved
        self.width, self.work = x.size(-1), torch.promote_types(x.dtype, torch.float32)
        self.validate_width()
        self.choose_layout()
        self.choose_base()
        self.find_exponents()
        self.find_frequencies()
        self.count_positions()
        self.place_positions()
        self.find_angles()
        self.spread_angles()
        self.find_partners()
        self.turn()
        self.put_back()
        self.restore_dtype()
        return self.turned

    def validate_width(self) -> None:
        if self.width % 2:
            raise ValueError("head_dim must be even")

    def choose_layout(self) -> None:
        """The layout asked for."""

    def choose_base(self) -> None:
        """The base that is given."""

    def find_exponents(self) -> None:
        self.exponent = torch.arange(0, self.width, 2).to(self.work) / self.width

    def find_frequencies(self) -> None:
        self.frequency = 1.0 / self.base**self.exponent

    def count_positions(self) -> None:
        """The positions that are given."""

    def place_positions(self) -> None:
        """Positions of batch entries get an axis for the heads."""
        self.place = self.positions.unsqueeze(1) if self.positions.dim() == 2 else self.positions

    def find_angles(self) -> None:
        self.angle = self.place.to(self.work).unsqueeze(-1) * self.frequency

    def spread_angles(self) -> None:
        """Each feature gets the angle of its pair."""
        self.angle = neighbours(self.angle, self.angle) if self.interleaved else halves(self.angle, self.angle)

    def find_partners(self) -> None:
        a, b = self.pairs()
        self.partner = neighbours(-b, a) if self.interleaved else halves(-b, a)

    def turn(self) -> None:
        self.turned = self.x * self.angle.cos() + self.partner * self.angle.sin()

    def put_back(self) -> None:
        """The layout of the output is that of x: nothing is left to do."""

    def restore_dtype(self) -> None:
        self.turned = self.turned.to(self.x.dtype)

    def pairs(self) -> tuple[Tensor, Tensor]:
        """The first and the second feature of all pairs: (..., L, E/2) each."""
        return apart(self.x, self.interleaved)


class ApplyRope(Rotation):
    """The function of the kata."""

    def __call__(self, x: Tensor, positions: Tensor, base: float = 10000.0, interleaved: bool = False) -> Any:
        return self.rotated(x, positions, base, interleaved)


def apart(x: Tensor, interleaved: bool) -> tuple[Tensor, Tensor]:
    """(..., E) -> two of (..., E/2)"""
    half = x.size(-1) // 2
    return (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])


def halves(a: Tensor, b: Tensor) -> Tensor:
    """Two of (..., E/2) -> (..., E), one behind the other"""
    return torch.cat([a, b], dim=-1)


def neighbours(a: Tensor, b: Tensor) -> Tensor:
    """Two of (..., E/2) -> (..., E), in turns"""
    return torch.stack([a, b], dim=-1).flatten(-2)
