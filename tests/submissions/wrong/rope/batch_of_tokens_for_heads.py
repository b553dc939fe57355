"""Positions of a batch get their axis behind the tokens instead of before."""
# cause: tokens-for-heads

import torch


def apply_rope(x, positions, base=10000.0, interleaved=False):
    d = x.shape[-1]
    if d % 2 != 0:
        raise ValueError('d is odd')
    t = torch.float64 if x.dtype == torch.float64 else torch.float32
    theta = base ** (-torch.arange(0, d, 2, dtype=t) / d)
    m = positions.to(t)
    if m.dim() == 2:
        m = m.view(m.shape[0], m.shape[1], 1)
    ang = m[..., None] * theta
    c, s = ang.cos(), ang.sin()
    y = x.to(t).clone()
    if interleaved:
        a, b = y[..., 0::2], y[..., 1::2]
    else:
        a, b = y[..., :d // 2], y[..., d // 2:]
    a0 = a.clone()
    a.mul_(c).sub_(b * s)
    b.mul_(c).add_(a0 * s)
    return y.to(x.dtype)
