"""Random inputs of a grade: they depend on its seed and on the name of the check alone."""

from __future__ import annotations

import secrets

import torch
from torch import Tensor


def new_seed() -> int:
    """A seed that nobody can know in advance."""
    return secrets.randbelow(2**31)


class Drawer:
    """Random inputs that depend on the run's seed and the test's name alone: each test has its own stream.

    draw(2, 5, 4): normal numbers, float64; draw.mask(5, 7): no empty row.
    """

    def __init__(self, seed: int, name: str) -> None:
        self._generator = torch.Generator().manual_seed(seed + sum(map(ord, name)) * 7919)

    def __call__(self, *shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
        numbers = torch.randn(shape, generator=self._generator, dtype=torch.float64)
        return (numbers if scale == 1.0 else numbers * scale).to(dtype)

    def mask(self, *shape: int) -> Tensor:
        """A random mask: every query may attend to something, and something is forbidden to it when it can be."""
        numbers = torch.rand(shape, generator=self._generator, dtype=torch.float64)
        return numbers >= numbers.mean(dim=-1, keepdim=True)
