"""Whether a program gave what the learner's code gave, to the precision that both show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from grading.candidate.wire import Opaque

# of the largest number: float32 work on float64 inputs, and other orders of summation in the half types
PRECISION = {torch.float64: 2e-6, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
HALF = (torch.float16, torch.bfloat16)
STRICT = 1e-9
ROUNDING = 1e-13  # of the largest number: what another order of float64 work changes
PLAIN = (int, bool, float, str, type(None), Opaque)
NEARER = 0.02  # what reproduces a deviation is so much nearer to the learner's numbers than the right ones are


def same(wanted: Any, got: Any, right: Any = None, strict: bool = False, least: float = 0.0) -> bool:
    """Equal in structure, shape, dtype and whatever is not finite, and elsewhere to the precision of the dtype.

    Args:
        right: what a right answer gives. Where `got` is near it, `wanted` has to be far nearer to `got`.
        strict: compare to 1e-9: for a check that asks for that.
        least: the scale of a tensor whose own numbers are smaller, as of a gradient that is zero but for rounding.
    """
    if isinstance(wanted, tuple | list):
        if not isinstance(got, tuple | list) or len(wanted) != len(got):
            return False
        rights = right if isinstance(right, tuple | list) and len(right) == len(got) else [None] * len(got)
        return all(same(w, g, r, strict, least) for w, g, r in zip(wanted, got, rights, strict=True))
    if isinstance(wanted, dict):
        right = right.values() if isinstance(right, dict) else None
        alike = isinstance(got, dict) and wanted.keys() == got.keys()
        return alike and same([*wanted.values()], [*got.values()], right and [*right], strict, least)
    if not isinstance(wanted, Tensor) or not isinstance(got, Tensor):
        return type(wanted) is type(got) and type(wanted) in PLAIN and wanted == got
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        return False
    if not got.is_floating_point() or torch.equal(wanted, got):
        return torch.equal(wanted, got)
    return _near(wanted, got, right if isinstance(right, Tensor) else None, strict, least)


def _near(wanted: Tensor, got: Tensor, right: Tensor | None, strict: bool, least: float) -> bool:
    difference = (wanted - got).abs()
    most = float(difference.amax()) if difference.numel() else 0.0
    if most != most or most == float("inf"):
        finite = got.isfinite()
        if not torch.equal(finite, wanted.isfinite()) or not _same_odd(wanted[~finite], got[~finite]):
            return False
        most = float(difference[finite].amax()) if bool(finite.any()) else 0.0
        scale = float(got[finite].abs().amax()) if bool(finite.any()) else 0.0
    else:
        scale = float(got.abs().amax()) if got.numel() else 0.0
    bound = (STRICT if strict else PRECISION[got.dtype]) * max(scale, least)
    return most <= (min(bound, max(NEARER * distance(got, right), ROUNDING * scale)) if strict else bound)


def _same_odd(wanted: Tensor, got: Tensor) -> bool:
    """NaN equals itself, and the infinities do."""
    return torch.equal(wanted.double().nan_to_num(2.0, 1.0, -1.0), got.double().nan_to_num(2.0, 1.0, -1.0))


def distance(got: Tensor, right: Tensor | None) -> float:
    """How far two tensors of one shape are from each other at most; infinite where they cannot be compared."""
    if right is None or right.shape != got.shape or not got.numel():
        return float("inf")
    most = float((got.double() - right.double()).abs().amax())
    return most if most == most else float("inf")


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in a value, in order."""
    if isinstance(value, Tensor):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ():
        if not isinstance(part, int | float | str):
            yield from tensors(part)


def are_float32(numbers: Tensor) -> bool:
    """Whether float64 numbers are float32 numbers, all of them, as far as float64 work on them can show: no chance."""
    if numbers.dtype != torch.float64 or numbers.numel() < 8:
        return False
    scale = float(numbers.abs().amax())
    return bool(((numbers.float().double() - numbers).abs() < ROUNDING * 100 * scale).all())


def is_telling(got: Any, right: Any, strict: bool = False) -> bool:
    """Whether reproducing this says anything: several wrong numbers of several values, not all in one row; a pattern.

    NaN, zeros and constants are where many mistakes end.
    """
    rights = list(tensors(right))
    others = [rights[i] if i < len(rights) else None for i in range(len(list(tensors(got))))]
    return any(_tells(each, other, strict) for each, other in zip(tensors(got), others, strict=True))


def _tells(got: Tensor, right: Tensor | None, strict: bool) -> bool:
    comparable = right is not None and right.shape == got.shape
    if right is not None and comparable and torch.equal(got, right.to(got.dtype)):
        return False
    if not got.is_floating_point() or bool(got.isinf().any() and not got.isnan().any()):
        return got.numel() >= 8 and bool((got != got.flatten()[0]).any())  # a mask, boolean or additive
    if got.dim() < 2 or not got.numel():
        return False
    rows = got.reshape(-1, got.size(-1))
    if bool((rows == rows[0]).all()):
        return False
    wrong = got.isfinite()
    if right is not None and comparable:
        digits = 1e-12 if strict else 1e-5
        wrong &= ~torch.isclose(got, right.to(got.dtype), rtol=digits, atol=digits / 1000)
    values = got[wrong].double().flatten()[:64].tolist()
    return len({f"{value:.5g}" for value in values}) >= 6
