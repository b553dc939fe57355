"""The exponents are 0, 2, 4 and so on, not divided by E."""
# cause: exponent-undivided

import torch
from torch.func import vmap


def turn(vector, position, theta, interleaved):
    pairs = vector.reshape(-1, 2) if interleaved else vector.reshape(2, -1).T
    angle = position * theta
    c, s = torch.cos(angle), torch.sin(angle)
    out = torch.stack([pairs[:, 0] * c - pairs[:, 1] * s, pairs[:, 0] * s + pairs[:, 1] * c], dim=1)
    return out.reshape(-1) if interleaved else out.T.reshape(-1)


def apply_rope(x, positions, base=10000.0, interleaved=False):
    E = x.size(-1)
    if E % 2:
        raise ValueError("E is odd")
    work = x if x.dtype == torch.float64 else x.float()
    theta = base ** (-torch.arange(0, E, 2).to(work.dtype))
    rows = vmap(lambda vector, position: turn(vector, position, theta, interleaved))
    heads = vmap(rows, in_dims=(0, None))
    places = positions.to(work.dtype)
    if positions.dim() == 2:
        out = vmap(heads)(work, places)
    else:
        out = heads(work.reshape(-1, *x.shape[-2:]), places).reshape(x.shape)
    return out.to(x.dtype)
