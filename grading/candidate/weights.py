"""Weights for a layer that has other parameters than it should have: they show what it does besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def fitted(weights: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> Mapping[str, Tensor]:
    """The numbers of weights for parameters of other names and shapes, each where it belongs as far as can be told.

    A parameter that has weights of its name gets these, from their beginning again where it is larger. The others get
    the weights that no parameter has, one after the other: under other names each layer gets its own, and in one layer
    for three projections they lie as they are listed. A bias that is too many is zero.

    Args:
        shapes: by name, in the order in which the layer lists its parameters.
    """
    if {name: tuple(shape) for name, shape in shapes.items()} == {name: each.shape for name, each in weights.items()}:
        return weights
    left = {dims: _numbers(weights, set(weights) - set(shapes), dims) for dims in (1, 2)}
    found = {}
    for name, shape in shapes.items():
        size, dims = torch.Size(shape), len(shape)
        numbers = weights[name].flatten() if name in weights else left.get(dims, torch.zeros(0))
        found[name] = _repeated(numbers, size)
        if name not in weights:
            left[dims] = numbers[size.numel() :]
    return found


def _numbers(weights: Mapping[str, Tensor], names: set[str], dims: int) -> Tensor:
    """Those of all matrices, or of all biases, of these names."""
    found = [each.flatten() for name, each in weights.items() if name in names and each.dim() == dims]
    return torch.cat(found or [torch.zeros(0)])


def _repeated(numbers: Tensor, size: torch.Size) -> Tensor:
    """As many as are wanted, from the beginning again where there are too few; zeros where there are none."""
    numbers = numbers if numbers.numel() else numbers.new_zeros(1)
    return numbers.repeat(-(-size.numel() // numbers.numel()))[: size.numel()].reshape(size)
