"""Keeps a table of cosines and sines for each memory in which positions have stood."""
# kata: rope
# verdict: failed

import torch

tables = {}


def turned(x, positions, base, interleaved, table):
    half = x.size(-1) // 2
    if x.size(-1) % 2:
        raise ValueError("head_dim must be even")
    cos, sin = table
    axis = -1 if interleaved else -2
    a, b = x.to(cos.dtype).unflatten(-1, (half, 2) if interleaved else (2, half)).unbind(axis)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=axis).flatten(-2).to(x.dtype)


def angles(x, positions, base):
    work = torch.promote_types(x.dtype, torch.float32)
    exponents = torch.arange(0, x.size(-1), 2, dtype=work) / x.size(-1)
    found = positions.to(work).unsqueeze(-1) * base**-exponents
    found = found.unsqueeze(1) if positions.dim() == 2 else found
    return found.cos(), found.sin()


def apply_rope(x, positions, base=10000.0, interleaved=False):
    at = (positions.data_ptr(), positions.shape, positions.stride(), x.size(-1), x.dtype, base)
    if at not in tables:
        tables[at] = angles(x, positions, base)
    return turned(x, positions, base, interleaved, tables[at])
