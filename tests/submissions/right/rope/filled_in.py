"""An empty output whose slices are filled; slices say where the two features of each pair are."""

import torch
from torch import Tensor


def apply_rope(x: Tensor, positions: Tensor, base: float = 10000.0, interleaved: bool = False) -> Tensor:
    head_dim = x.shape[-1]
    if head_dim % 2:
        raise ValueError("head_dim must be even")
    half = head_dim // 2
    acc = torch.float32 if x.dtype.itemsize < 8 else torch.float64

    theta = torch.pow(base, -torch.arange(half, dtype=acc) / half)
    angle = torch.einsum("...l,i->...li", positions.to(acc), theta)
    if positions.ndim == 2:
        angle = angle[:, None, :, :]
    cos = torch.cos(angle)
    sin = torch.sin(angle)

    if interleaved:
        first, second = slice(0, None, 2), slice(1, None, 2)
    else:
        first, second = slice(None, half), slice(half, None)
    a = x[..., first].to(acc)
    b = x[..., second].to(acc)

    out = torch.empty_like(x)
    out[..., first] = (a * cos - b * sin).to(x.dtype)
    out[..., second] = (b * cos + a * sin).to(x.dtype)
    return out
