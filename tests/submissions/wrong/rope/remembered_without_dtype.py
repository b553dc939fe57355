"""The frequencies are remembered by width and base: after a float32 call, those for float64 are rounded ones."""
# cause: none

import torch
from torch import Tensor


KEPT = {}


def frequencies(dim: int, base: float, dtype: torch.dtype) -> Tensor:
    if (dim, base) not in KEPT:
        KEPT[dim, base] = 1.0 / base ** (torch.arange(0, dim, 2).to(dtype) / dim)
    return KEPT[dim, base].to(dtype)


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
