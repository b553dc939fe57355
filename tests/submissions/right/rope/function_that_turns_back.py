"""An autograd.Function whose backward pass turns the pairs back, as complex numbers."""

import torch
from torch import Tensor


class Turn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, turns: Tensor, interleaved: bool) -> Tensor:
        ctx.save_for_backward(turns)
        ctx.interleaved = interleaved
        return turned(x, turns, interleaved)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (turns,) = ctx.saved_tensors
        return turned(grad, turns.conj(), ctx.interleaved), None, None


def turned(x: Tensor, turns: Tensor, interleaved: bool) -> Tensor:
    half = x.shape[-1] // 2
    if interleaved:
        pairs = torch.view_as_complex(x.clone(memory_format=torch.contiguous_format).unflatten(-1, (half, 2)))
        return torch.view_as_real(pairs * turns).flatten(-2)
    pairs = torch.complex(x[..., :half], x[..., half:]) * turns
    return torch.cat((pairs.real, pairs.imag), dim=-1)


def apply_rope(x: Tensor, positions: Tensor, base: float = 10000.0, interleaved: bool = False) -> Tensor:
    E = x.shape[-1]
    if E % 2:
        raise ValueError(f"E must be even, not {E}")
    high = torch.promote_types(x.dtype, torch.float32)
    angles = positions.to(high)[..., None] * base ** (-torch.arange(0, E, 2, dtype=high) / E)
    angles = angles if positions.dim() == 1 else angles[:, None]
    turns = torch.polar(torch.ones_like(angles), angles)
    return Turn.apply(x.to(high), turns, interleaved).to(x.dtype)
