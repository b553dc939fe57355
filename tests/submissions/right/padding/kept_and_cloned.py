"""Triangles are kept by size in a dictionary and never handed out themselves."""

import torch

_TRIANGLES = {}


def _triangle(n):
    if n not in _TRIANGLES:
        _TRIANGLES[n] = torch.ones(n, n, dtype=torch.bool).tril()
    return _TRIANGLES[n]


def position_ids(attention_mask):
    real = attention_mask.bool()
    earlier = _triangle(real.size(1)) & real[:, None]
    return (earlier.sum(-1) - 1).clamp_min(0).masked_fill(real.logical_not(), 0)


def padding_causal_mask(attention_mask, query_len=None):
    real = attention_mask.bool()
    rows = _triangle(real.size(1))
    if query_len is not None:
        rows = rows[-query_len:]
    return torch.logical_and(rows, real[:, None, None])
