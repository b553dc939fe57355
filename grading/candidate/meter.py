"""FLOPs of what runs under it, counted at the dispatcher: two for each multiply-add of a matrix product.

An upper bound is what it can hold: a product written without a matrix product is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


def _rows_times_columns(left: Tensor, right: Tensor) -> int:
    return 2 * math.prod(left.shape) * (right.shape[-1] if right.dim() > 1 else 1)


# name of the operator -> which of its arguments are multiplied
PRODUCTS = {"mm": 0, "bmm": 0, "mv": 0, "dot": 0, "addmm": 1, "baddbmm": 1, "addbmm": 1, "addmv": 1}


class _Counting:
    # A mixin, since a direct subclass with __torch_dispatch__ makes PyTorch import torch._dynamo (0.5 s).
    flops: int

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        first = PRODUCTS.get(func.overloadpacket.__name__)
        if first is not None:
            self.flops += _rows_times_columns(args[first], args[first + 1])
        return func(*args, **(kwargs or {}))


class Meter(_Counting, TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context manager; `flops` is what was counted in it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0


def count(thunk: Callable[[], Any]) -> tuple[Any, int]:
    """What thunk returns, and the FLOPs that it took."""
    with Meter() as meter:
        value = thunk()
    return value, meter.flops
