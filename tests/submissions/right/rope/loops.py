"""Loops over rows and pairs, with math's cosine and sine of Python numbers."""

import math

import torch


def apply_rope(x, positions, base=10000.0, interleaved=False):
    E = x.size(-1)
    if E % 2 == 1:
        raise ValueError("odd head_dim: " + str(E))
    if positions.dim() == 2:
        rows = [apply_rope(entry, places, base, interleaved) for entry, places in zip(x, positions)]
        return torch.stack(rows)
    rows = []
    for l, p in enumerate(positions.tolist()):
        columns = [None] * E
        for i in range(E // 2):
            angle = p / base ** (2 * i / E)
            if interleaved:
                first, second = 2 * i, 2 * i + 1
            else:
                first, second = i, i + E // 2
            a = x[..., l, first]
            b = x[..., l, second]
            columns[first] = a * math.cos(angle) - b * math.sin(angle)
            columns[second] = a * math.sin(angle) + b * math.cos(angle)
        rows.append(torch.stack(columns, dim=-1))
    return torch.stack(rows, dim=-2)
