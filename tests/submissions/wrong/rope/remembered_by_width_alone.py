"""The frequencies are remembered by the width alone: another base gets those of the first."""
# cause: base-ignored

from functools import lru_cache

import torch
from torch import Tensor


KNOWN = {}


def frequencies(dim: int, base: float, dtype: torch.dtype) -> Tensor:
    return KNOWN.setdefault((dim, dtype), 1.0 / base ** (torch.arange(0, dim, 2).to(dtype) / dim))


class Rope:
    def __init__(self, x: Tensor, positions: Tensor, base: float):
        self.x = x
        self.dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        angles = positions.to(self.dtype).unsqueeze(-1) * frequencies(x.size(-1), base, self.dtype)
        if positions.dim() == 2:
            angles = angles.unsqueeze(1)
        self.cos, self.sin = angles.cos(), angles.sin()

    def turn(self, a: Tensor, b: Tensor):
        a, b = a.to(self.dtype), b.to(self.dtype)
        return a * self.cos - b * self.sin, a * self.sin + b * self.cos

    def halves(self) -> Tensor:
        half = self.x.size(-1) // 2
        a, b = self.turn(self.x[..., :half], self.x[..., half:])
        return torch.cat([a, b], dim=-1).to(self.x.dtype)

    def neighbours(self) -> Tensor:
        a, b = self.turn(self.x[..., ::2], self.x[..., 1::2])
        return torch.stack([a, b], dim=-1).flatten(-2).to(self.x.dtype)


def apply_rope(x: Tensor, positions: Tensor, base: float = 10000.0, interleaved: bool = False) -> Tensor:
    if x.size(-1) % 2:
        raise ValueError("head_dim has to be even")
    rope = Rope(x, positions, base)
    return rope.neighbours() if interleaved else rope.halves()
