"""FLOPs and live bytes of what runs under it, counted at the dispatcher.

FLOPs are two for each multiply-add of a matrix product. An upper bound is what they can hold: a product written without
a matrix product is not seen. It shows in the bytes, though, also where numbers leave PyTorch for NumPy or for lists.
"""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


def _rows_times_columns(left: Tensor, right: Tensor) -> int:
    return 2 * math.prod(left.shape) * (right.shape[-1] if right.dim() > 1 else 1)


COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd

# name of the operator -> which of its arguments are multiplied
PRODUCTS = {"mm": 0, "bmm": 0, "mv": 0, "dot": 0, "addmm": 1, "baddbmm": 1, "addbmm": 1, "addmv": 1}


class _Counting:
    # A mixin, since a direct subclass with __torch_dispatch__ makes PyTorch import torch._dynamo (0.5 s).
    flops: int
    live: _Live | None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # in inference mode, what is made of several operators arrives in one piece: take it apart as PyTorch does
        if torch.is_inference_mode_enabled() and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), COMPOSITE):
            with self:  # type: ignore[attr-defined]
                return func._op_dk(COMPOSITE, *args, **(kwargs or {}))
        first = PRODUCTS.get(func.overloadpacket.__name__)
        if first is not None:
            self.flops += _rows_times_columns(args[first], args[first + 1])
        result = func(*args, **(kwargs or {}))
        if self.live:
            self.live.see(result)
        return result


class Meter(_Counting, TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context manager; `flops` is what was counted in it, `live` follows the memory where it is given."""

    def __init__(self, live: _Live | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.live = live


class _Live:
    """The tensors' memory that was allocated since, and is still held: `peak` is the most of it after any operator."""

    def __init__(self, given: list[Tensor]) -> None:
        self.held = {tensor.untyped_storage()._cdata: (_reference(tensor), 0) for tensor in given}
        self.peak = 0

    def see(self, result: Any) -> None:
        known = len(self.held)
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.held:
                    # a weak reference keeps the address from being given to another storage
                    self.held[storage._cdata] = _reference(tensor), storage.nbytes()
        if len(self.held) == known:
            return
        self.held = {at: (ref, size) for at, (ref, size) in self.held.items() if not ref.expired()}  # type: ignore[no-untyped-call]
        self.peak = max(self.peak, sum(size for _, size in self.held.values()))


class _Exits(TorchFunctionMode):
    """Once numbers leave PyTorch, what becomes of them is in no tensor: has Python count its memory, and NumPy's."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _EXITS:
            tracemalloc.start()
        return func(*args, **(kwargs or {}))


_EXITS = {Tensor.numpy, Tensor.tolist, Tensor.__array__, Tensor.__dlpack__}


def _reference(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


def count(thunk: Callable[[], Any]) -> tuple[Any, int]:
    """What thunk returns, and the FLOPs that it took."""
    with Meter() as meter:
        value = thunk()
    return value, meter.flops


def peak_bytes(thunk: Callable[[], Any], given: list[Tensor]) -> int:
    """The most memory that thunk held at a time in inference, without the tensors that it was given."""
    live = _Live(given)
    try:
        with torch.no_grad(), Meter(live), _Exits():
            kept = thunk()
        elsewhere = tracemalloc.get_traced_memory()[1]  # 0 where it was not begun
    finally:
        tracemalloc.stop()
    del kept
    return live.peak + elsewhere
