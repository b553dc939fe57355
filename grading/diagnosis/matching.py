"""Whether two outputs are the same."""

import torch
from torch import Tensor

# float32 and the half types come out of another order of summation with other last digits
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


def same(wanted: Tensor, got: Tensor) -> bool:
    """Equal in shape, dtype and whatever is not finite, and elsewhere to the precision of the dtype."""
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        return False
    if not wanted.is_floating_point() or torch.equal(wanted, got):
        return torch.equal(wanted, got)
    finite = wanted.isfinite()
    if not torch.equal(finite, got.isfinite()):
        return False
    # NaN becomes 2, so that it equals itself alone
    rest, other = (x[~finite].double().nan_to_num(2.0, 1.0, -1.0) for x in (wanted, got))
    if not torch.equal(rest, other):
        return False
    bound, wanted, got = _TOLERANCE[wanted.dtype], wanted[finite].double(), got[finite].double()
    return not wanted.numel() or bool((wanted - got).abs().max() <= bound * wanted.abs().max())


def all_same(wanted: dict[str, Tensor], got: dict[str, Tensor]) -> bool:
    """The same outputs under the same names."""
    return wanted.keys() == got.keys() and all(same(wanted[name], got[name]) for name in wanted)


class Target:
    """An output to be found among many: one element is compared first, for nearly all differ there."""

    def __init__(self, wanted: Tensor) -> None:
        self.wanted = wanted
        flat = wanted.reshape(-1)
        finite = flat.isfinite() if flat.is_floating_point() else torch.ones_like(flat, dtype=torch.bool)
        self.at = int(flat.double().abs().masked_fill(~finite, -1.0).argmax()) if flat.numel() else 0
        self.value = float(flat[self.at]) if flat.numel() else 0.0
        self.exact = wanted.dtype == torch.float64 and bool(finite.any())

    def hit(self, got: Tensor) -> bool:
        if got.shape != self.wanted.shape:
            return False
        if self.exact and got.dtype == torch.float64:
            found = float(got.reshape(-1)[self.at])
            # a NaN here is a miss: the element chosen is finite
            if not abs(found - self.value) <= 1e-9 * abs(self.value):
                return False
        return same(self.wanted, got)
