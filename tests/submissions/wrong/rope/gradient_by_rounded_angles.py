"""The gradient is turned back by cosines and sines of angles in the dtype of x, which half precision rounds; the output is right."""
# cause: angles-in-half

import torch
from torch import Tensor


def apply_rope(x: Tensor, positions: Tensor, base: float = 10000.0, interleaved: bool = False) -> Tensor:
    E = x.size(-1)
    if E % 2:
        raise ValueError(f"head_dim must be even to form pairs, and is {E}")
    work = torch.promote_types(x.dtype, torch.float32)
    exponents = torch.arange(0, E, 2, dtype=work) / E  # (E/2,)
    angles = positions.to(work).unsqueeze(-1) * base**-exponents  # (L, E/2) or (B, L, E/2)
    if positions.dim() == 2:
        angles = angles.unsqueeze(1)  # (B, 1, L, E/2): all heads of a batch entry have its positions
    cos, sin = angles.cos(), angles.sin()
    pairs = x.to(work).unflatten(-1, (E // 2, 2) if interleaved else (2, E // 2))
    axis = -1 if interleaved else -2  # of a and b
    a, b = pairs.unbind(axis)  # (..., L, E/2) each
    turned = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=axis).detach()
    cos, sin = angles.to(x.dtype).to(work).cos(), angles.to(x.dtype).to(work).sin()
    rough = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=axis)
    return (turned + (rough - rough.detach())).flatten(-2).to(x.dtype)  # (..., L, E)
