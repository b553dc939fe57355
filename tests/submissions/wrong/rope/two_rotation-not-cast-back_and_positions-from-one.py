"""Half precision comes out as float32; the table begins at position 1."""
# cause: rotation-not-cast-back, positions-from-one

import math

import torch


def build_table(length, dim, base, dtype):
    freqs = torch.exp(torch.arange(0, dim, 2, dtype=dtype) * (-math.log(base) / dim))
    t = torch.arange(length, dtype=dtype) + 1
    angles = torch.outer(t, freqs)
    return torch.cos(angles), torch.sin(angles)


def apply_rope(x, positions, base=10000.0, interleaved=False):
    dim = x.shape[-1]
    if dim % 2:
        raise ValueError("dim must be divisible by 2")
    dtype = torch.float64 if x.dtype is torch.float64 else torch.float32
    cos, sin = build_table(int(positions.max()) + 1, dim, base, dtype)
    cos = cos[positions]
    sin = sin[positions]
    if positions.dim() == 2:
        cos = cos.unsqueeze(1)
        sin = sin.unsqueeze(1)
    if interleaved:
        x1, x2 = x[..., 0::2], x[..., 1::2]
    else:
        x1, x2 = x.chunk(2, dim=-1)
    o1 = x1 * cos - x2 * sin
    o2 = x2 * cos + x1 * sin
    if interleaved:
        out = torch.stack((o1, o2), dim=-1).reshape(x.shape)
    else:
        out = torch.cat((o1, o2), dim=-1)
    return out
