"""Objects of classes that the stub gives: made, kept under a number, looked at; what a call does to one shows there."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from grading.candidate.wire import Opaque, Reference

MOST_NAMES = 20  # of attributes that are told
_NOTHING = Opaque("nothing")


class Objects:
    """The objects of one process. Requests name them by number, and so a call gets the same one as the call before."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._given: dict[int, dict[str, Any]] = {}  # what each was made with, by the name of the field

    def __bool__(self) -> bool:
        return bool(self._made)

    def keep(self, number: int, made: Any, fields: Mapping[str, Any]) -> None:
        """Keep an object that was made with these values of its fields."""
        self._made[number] = made
        # an alias of each tensor stays where the memory is, whatever is done to the tensor itself
        self._given[number] = {
            name: each.detach() if isinstance(each, Tensor) else each for name, each in fields.items()
        }

    def assign(self, number: int, fields: Mapping[str, Any]) -> None:
        """Give fields other values, as a caller may; those of a tensor go into the memory that it has."""
        for name, value in fields.items():
            if isinstance(value, Tensor):
                self._given[number][name].copy_(value)
            else:
                setattr(self._made[number], name, value)
                self._given[number][name] = value

    def resolved(self, value: Any) -> Any:
        """The value with the objects in the place of their numbers."""
        if isinstance(value, Reference):
            return self._made[value.number]
        if type(value) in (list, tuple):
            return type(value)(self.resolved(each) for each in value)
        return {key: self.resolved(each) for key, each in value.items()} if type(value) is dict else value

    def look(self, number: int) -> dict[str, Any]:
        """What an object holds now, which of its tensors lie elsewhere than they did, and which attributes are new."""
        found, given = self._made[number], self._given[number]
        value = {name: _held(found, name) for name in given}
        moved = [name for name, each in given.items() if isinstance(each, Tensor) and not _in_place(value[name], each)]
        added = sorted(name for name in getattr(found, "__dict__", ()) if type(name) is str and name not in given)
        return {"value": value, "moved": moved, "added": added[:MOST_NAMES]}

    def tensors(self) -> list[Tensor]:
        """The tensors that the objects were made with."""
        return [each for given in self._given.values() for each in given.values() if isinstance(each, Tensor)]


def solid(value: Any) -> Any:
    """A tensor that comes expanded, to be small on the way, with memory for each of its numbers."""
    if isinstance(value, Tensor) and any(s == 0 < n - 1 for s, n in zip(value.stride(), value.shape, strict=True)):
        return value.contiguous()
    return value


def _held(found: Any, name: str) -> Any:
    """An attribute as it is stored: a property of the learner's could make up another each time that it is asked."""
    held = inspect.getattr_static(found, name, _NOTHING)
    if type(held) is not types.MemberDescriptorType:
        return held
    try:  # a class with slots stores it there
        return held.__get__(found)
    except AttributeError:
        return _NOTHING


def _in_place(now: Any, was: Tensor) -> bool:
    """Whether it is the same memory in the same order."""
    if not isinstance(now, Tensor) or now.layout is not torch.strided or now.device != was.device:
        return False
    same = now.untyped_storage().data_ptr() == was.untyped_storage().data_ptr()
    order = (was.shape, was.stride(), was.storage_offset())
    return same and order == (now.shape, now.stride(), now.storage_offset())
