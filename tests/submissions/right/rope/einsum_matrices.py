"""A rotation matrix of E x E for each position, and one einsum over the features."""

import torch


def rotation_matrices(positions, E, base, interleaved, dtype):
    pairs = torch.arange(E // 2)
    theta = base ** (-2 * pairs.to(dtype) / E)
    angle = positions.to(dtype)[..., None] * theta
    first = 2 * pairs if interleaved else pairs
    second = first + 1 if interleaved else pairs + E // 2
    R = torch.zeros(*positions.shape, E, E, dtype=dtype)
    R[..., first, first] = torch.cos(angle)
    R[..., first, second] = -torch.sin(angle)
    R[..., second, first] = torch.sin(angle)
    R[..., second, second] = torch.cos(angle)
    return R


def apply_rope(x, positions, base=10000.0, interleaved=False):
    E = x.shape[-1]
    if E % 2 != 0:
        raise ValueError("E must be even")
    dtype = torch.promote_types(x.dtype, torch.float32)
    R = rotation_matrices(positions, E, base, interleaved, dtype)
    if R.dim() == 4:
        out = torch.einsum("blij,bhlj->bhli", R, x.to(dtype))
    else:
        out = torch.einsum("lij,...lj->...li", R, x.to(dtype))
    return out.to(x.dtype)
