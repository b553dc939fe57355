"""The exponent is 2i over half the head."""
# cause: exponent-doubled

import torch


def _order(E, interleaved):
    """Where the features of the halves layout stand in x."""
    if not interleaved:
        return torch.arange(E)
    return torch.cat([torch.arange(0, E, 2), torch.arange(1, E, 2)])


def apply_rope(x, positions, base=10000.0, interleaved=False):
    E = x.size(-1)
    if E & 1:
        raise ValueError("an odd number of features has no pairs")
    work = torch.promote_types(x.dtype, torch.float32)
    order = _order(E, interleaved)
    y = x.to(work)[..., order]
    wavelengths = base ** (torch.arange(E // 2, dtype=work) * 2 / (E // 2))
    angle = (positions.to(work)[..., None] / wavelengths).repeat(*[1] * positions.dim(), 2)
    angle = angle if positions.dim() == 1 else angle.unsqueeze(-3)
    signs = torch.ones(E, dtype=work)
    signs[: E // 2] = -1
    y = y * angle.cos() + signs * y.roll(E // 2, dims=-1) * angle.sin()
    return y[..., order.argsort()].to(x.dtype)
