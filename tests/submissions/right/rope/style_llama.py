"""In the style of Meta's Llama: pairs as complex numbers, times unit numbers; halves are woven first."""

from typing import Tuple

import torch


def precompute_freqs_cis(dim: int, positions: torch.Tensor, theta: float, dtype: torch.dtype) -> torch.Tensor:
    freqs = 1.0 / (theta ** (torch.arange(0, dim, 2)[: (dim // 2)].to(dtype) / dim))
    freqs = positions.to(dtype).unsqueeze(-1) * freqs
    return torch.polar(torch.ones_like(freqs), freqs)  # e^(i angle)


def reshape_for_broadcast(freqs_cis: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    if freqs_cis.ndim == 3:
        freqs_cis = freqs_cis[:, None]
    shape: Tuple[int, ...] = (1,) * (x.ndim - freqs_cis.ndim) + tuple(freqs_cis.shape)
    return freqs_cis.view(*shape)


def apply_rope(x: torch.Tensor, positions: torch.Tensor, base: float = 10000.0, interleaved: bool = False) -> torch.Tensor:
    dim = x.shape[-1]
    if dim % 2:
        raise ValueError("E has to be even")
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    x_ = x.to(dtype)
    if not interleaved:
        x_ = torch.stack(x_.chunk(2, dim=-1), dim=-1).flatten(-2)
    x_ = torch.view_as_complex(x_.reshape(*x.shape[:-1], -1, 2).contiguous())
    freqs_cis = reshape_for_broadcast(precompute_freqs_cis(dim, positions, base, dtype), x_)
    x_out = torch.view_as_real(x_ * freqs_cis)
    if not interleaved:
        x_out = x_out.transpose(-2, -1)
    return x_out.flatten(-2).type_as(x)
