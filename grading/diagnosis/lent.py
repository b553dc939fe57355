"""Tensors that are lent to programs, run after run, so that each is copied, converted and projected once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from grading.candidate.weights import fitted
from grading.diagnosis.transcript import Shapes

Versioned = tuple[Tensor, int]  # a tensor, and how often it had been changed in place


class Made(NamedTuple):
    """What was made of a tensor and of others, which stay alive here."""

    source: Versioned
    others: tuple[Any, ...]
    result: Versioned


class Lent:
    """What the runs of one check have in common. A tensor that a mistake changed in place is not lent again.

    Tensors are known by identity, and so all of them stay alive here.
    """

    def __init__(self) -> None:
        self._own: dict[int, Made] = {}
        self._weights: dict[tuple[Any, ...], tuple[Mapping[str, Tensor], dict[str, Tensor]]] = {}
        self._made: dict[tuple[Any, ...], Made] = {}
        self._known: set[int] = set()

    def own(self, given: Tensor) -> Tensor:
        """A copy that a program may change."""
        found = self._own.get(id(given))
        if found is None or changed(found.result):
            found = self._own[id(given)] = Made(lent(given), (), lent(given.clone()))
            self._known.add(id(found.result[0]))
        return found.result[0]

    def weights(self, given: Mapping[str, Tensor], dtype: torch.dtype, shapes: Shapes) -> dict[str, Tensor]:
        """Weights in a dtype, for parameters of these shapes. No mistake changes them in place."""
        key = id(given), dtype, *shapes.items()
        if key not in self._weights:
            taken = fitted(given, shapes)
            self._weights[key] = given, {name: weight.to(dtype) for name, weight in taken.items()}
        return self._weights[key][1]

    def made(self, function: Callable[..., Tensor], x: Tensor, *others: Any) -> Tensor:
        """What a function makes of a tensor and of what nobody changes; kept, and lent itself, where the tensor is."""
        if id(x) not in self._known:
            return function(x, *others)
        key = function, id(x), *(id(each) if isinstance(each, Tensor) else each for each in others)
        found = self._made.get(key)
        if found is None or changed(found.source) or changed(found.result):
            found = self._made[key] = Made(lent(x), others, lent(function(x, *others)))
            self._known.add(id(found.result[0]))
        return found.result[0]


def lent(tensor: Tensor) -> Versioned:
    return tensor, tensor._version


def changed(versioned: Versioned) -> bool:
    """Whether a tensor was changed in place since."""
    tensor, version = versioned
    return tensor._version != version
