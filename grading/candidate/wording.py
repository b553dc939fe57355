"""Calls, values and errors of the learner's code in words, as a failure shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from grading.candidate.wire import Opaque, Reference, describe
from grading.records import Failure

KINDS = ("raised", "unwritten", "forbidden", "load", "misfit", "stopped")  # of errors that the candidate may report


@dataclass(frozen=True)
class Raised(Failure):
    """A failure that is an exception; `bases` are the names of its classes, the most derived first."""

    bases: tuple[str, ...] = ()


def describe_value(value: Any) -> str:
    """A value that came back, in a few words."""
    if isinstance(value, Opaque):
        return value.text
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)}"
    return describe(value) if value is not None else "None"


def odd_ones(shapes: Mapping[str, tuple[int, ...]], other: Mapping[str, tuple[int, ...]]) -> str:
    """The entries that the other side lacks or has otherwise."""
    odd = [f"{name} {shape}" for name, shape in shapes.items() if other.get(name) != shape]
    return ", ".join(odd) or "no others"


def arguments(names: tuple[str, ...], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """(query (2, 5, 4), mask=None): parameter names with the shapes, or the values, of what they get."""
    named = [*zip(names, args, strict=False), *kwargs.items()]
    return f"({', '.join(_argument(name, value) for name, value in named)})"


def _argument(name: str, value: Any) -> str:
    if isinstance(value, Tensor):
        half = value.dtype in (torch.float16, torch.bfloat16)
        return f"{name} {tuple(value.shape)}" + (f" {str(value.dtype).removeprefix('torch.')}" if half else "")
    if isinstance(value, tuple) and value and isinstance(value[0], Tensor):
        return f"{name} 2 x {tuple(value[0].shape)}"
    if isinstance(value, Reference):
        return f"{name} {value}"
    return f"{name}={value}"


def cache_name(parent: int | None) -> str:
    """Which cache a step of a plan is given."""
    return "no cache" if parent is None else f"the cache of step {parent}"


def failure_of(error: dict[str, Any], call: str) -> Failure:
    """An error that the candidate reported. Its words are the learner's: bounded, and one line."""
    kind = str(error["kind"]) if error.get("kind") in KINDS else "raised"
    text = " ".join(str(error.get("message", "")).split())[:300]
    name = str(error.get("type", ""))[:100]
    line = error["line"] if isinstance(error.get("line"), int) else 0
    if kind == "unwritten":
        return Failure(f"{text or name} is not written yet", call=call, line=line, kind=kind)
    bare = kind in ("load", "forbidden", "misfit", "stopped") or not name
    message = text if bare else f"{name}: {text}" if text else name
    tensors = error.get("tensors")
    shapes = ", ".join(f"{k} {v}" for k, v in tensors.items()) if isinstance(tensors, dict) else ""
    source = str(error.get("text", ""))[:100]
    got = f"{source}    with {shapes}" if source and shapes else source
    bases = error.get("bases")
    failure = Failure(message, "", got, call, line, kind)
    return Raised(**failure.__dict__, bases=tuple(map(str, bases)) if isinstance(bases, list) else ())
