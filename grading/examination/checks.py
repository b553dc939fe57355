"""Wanted against got: exact comparisons that say in a few words how the two differ.

Every function returns when they agree and raises CheckFailed when they do not. What came from the candidate is an
exact torch.Tensor or plain data; nothing of the learner's runs here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

import torch
from torch import Tensor

from grading.candidate.given import State
from grading.candidate.pending import on_arrival
from grading.records import CheckFailed, Failure, Map

TOLERANCE = 5e-6  # of the largest number wanted: what float32 work gives, on float64 inputs too
DOUBLE = 1e-9  # what float64 work gives
ALIKE = 6  # decimal places that agree where the two are the same but for the precision of the work
SIDE = 12  # of the part of a tensor that a report draws


@on_arrival
def close(got: Any, wanted: Tensor, what: str = "the output", tolerance: float = TOLERANCE) -> None:
    """Shape and dtype are the same, and no number is further off than `tolerance` times the largest wanted."""
    shaped(got, tuple(wanted.shape), what)
    typed(got, wanted.dtype, what)
    if not wanted.numel():
        return
    difference = (got.double() - wanted.double()).abs()
    allowed = tolerance * max(1.0, wanted.abs().amax().item())
    if not difference.amax().item() <= allowed:  # NaN is wrong
        raise _differs(got, wanted, ~(difference <= allowed), difference, what)


@on_arrival
def close_each(got: Any, wanted: Sequence[Tensor], names: Sequence[str] = (), tolerance: float = TOLERANCE) -> None:
    """What several calls gave, each as above; `names` says what it is, instead of which call."""
    if not isinstance(got, list) or len(got) != len(wanted):
        raise CheckFailed(Failure("the calls gave no list of outputs", str(len(wanted)), describe(got)))
    names = names or [f"the output of call {i} of {len(wanted)}" for i in range(1, len(wanted) + 1)]
    for each, right, name in zip(got, wanted, names, strict=True):
        close(each, right, name, tolerance)


@on_arrival
def precise(got: Any, wanted: Tensor, what: str = "the output", work: str = "the root of E, the softmax") -> None:
    """float64 numbers come from float64 work: the one check that what is done in float32 on the way fails.

    Args:
        work: what is done in float32 by those who fail it.
    """
    try:
        close(got, wanted, what, DOUBLE)
    except CheckFailed as failed:
        digits = _agreeing(got, wanted)
        if digits < ALIKE:
            raise
        reason = f"float32 work on float64 inputs ({work})"
        raise CheckFailed(
            replace(failed.failure, message=f"{_says(what, 'agrees')} to {digits} digits: {reason}")
        ) from None


def _agreeing(got: Any, wanted: Tensor) -> int:
    """The decimal places to which a tensor agrees with the one wanted, measured by its largest number."""
    if not isinstance(got, Tensor) or got.dtype != wanted.dtype or got.shape != wanted.shape:
        return 0
    off = ((got - wanted).abs().amax() / wanted.abs().amax().clamp_min(1.0)).item()
    return int(-math.log10(off)) if 0.0 < off < 1.0 else 0


def _differs(got: Tensor, wanted: Tensor, wrong: Tensor, difference: Tensor, what: str) -> CheckFailed:
    count, total = int(wrong.sum()), wrong.numel()
    bad = got.isnan() | got.isinf()
    at = int((bad.double() if bad.any() else difference.nan_to_num(posinf=1e300)).argmax())
    place = _place(at, got.shape)
    kind = "NaN or infinity inside" if bad.any() else "the right shape and other numbers"
    where = f" at {place}" if place else ""
    where += f" in {_name(got.dtype)}" if got.dtype not in (torch.float32, torch.float64) else ""
    pair = apart(wanted.flatten()[at].item(), got.flatten()[at].item())
    return CheckFailed(
        Failure(
            f"{_says(what, 'has')} {kind}",
            f"{pair[0]}{where}",
            f"{pair[1]}{where}; {count} of {total} numbers differ",
            **maps(got, wanted, place),
        )
    )


def apart(wanted: float, got: float) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to tell them apart: six where that is enough."""
    return next((w, g) for digits in range(6, 18) if (w := f"{wanted:.{digits}g}") != (g := f"{got:.{digits}g}"))


PLURAL = {"has": "have", "is": "are", "agrees": "agree"}


def _says(what: str, verb: str) -> str:
    """The output has, the keys in the cache have."""
    return f"{what} {PLURAL[verb] if what.startswith(('the keys', 'the values')) else verb}"


def _place(at: int, shape: Sequence[int]) -> list[int]:
    """The indices of the number that is the at-th of a flattened tensor; torch.unravel_index imports sympy (0.3 s)."""
    place: list[int] = []
    for length in reversed(shape):
        at, index = divmod(at, length)
        place.insert(0, index)
    return place


@on_arrival
def shaped(got: Any, shape: tuple[int, ...], what: str = "the output") -> None:
    """It is a tensor of that shape."""
    if isinstance(got, tuple | list) and len(got) == 2 and isinstance(got[0], Tensor):
        pair = "(output, weights)" if isinstance(got[1], Tensor) else "one of two"
        message = f"{what} came back as {pair}: return the output alone"
        raise CheckFailed(Failure(message, f"a tensor of shape {shape}", f"({_shown(got[0])}, {_shown(got[1])})"))
    if not isinstance(got, Tensor):
        raise CheckFailed(
            Failure(f"{_says(what, 'is')} not a torch.Tensor", f"a tensor of shape {shape}", describe(got))
        )
    if tuple(got.shape) != shape:
        raise CheckFailed(Failure(f"{_says(what, 'has')} the wrong shape", str(shape), str(tuple(got.shape))))


@on_arrival
def typed(got: Tensor, dtype: torch.dtype, what: str = "the output") -> None:
    """It has that dtype."""
    if got.dtype != dtype:
        raise CheckFailed(Failure(f"{_says(what, 'has')} the wrong dtype", _name(dtype), _name(got.dtype)))


@on_arrival
def same(got: Any, wanted: Tensor, what: str = "the mask") -> None:
    """Equal in every element, and in shape and dtype: for masks, which are drawn where they differ."""
    shaped(got, tuple(wanted.shape), what)
    typed(got, wanted.dtype, what)
    if not torch.equal(got, wanted):
        place = (got != wanted).nonzero()[0].tolist()
        raise CheckFailed(Failure(f"{what} differs", grid(wanted), grid(got), **maps(got, wanted, place)))


@on_arrival
def in_place(got: State, what: str) -> None:
    """The tensors of an object of a class that the stub gives are those that it was made with."""
    for name in got.moved:
        where = "the memory of the tensor that was handed in"
        message = f"{what}.{name} is not the tensor that was handed in: write into that one, in place"
        raise CheckFailed(Failure(message, where, f"{_shown(got.fields[name])}, elsewhere"))


@on_arrival
def kept(got: State, wanted: Mapping[str, Any], what: str) -> None:
    """An object of a class that the stub gives holds what is wanted, and its tensors are those that it was made with.

    Args:
        wanted: by field. A tensor that is NaN somewhere has to be NaN there, and there alone.
        what: the object, as a parameter of the learner's is called.
    """
    in_place(got, what)
    if got.added:
        message = f"{what} has attributes that its class does not list"
        raise CheckFailed(Failure(message, ", ".join(wanted), ", ".join((*wanted, *got.added))))
    for name, right in wanted.items():
        found = got.fields[name]
        if isinstance(right, Tensor):
            shaped(found, tuple(right.shape), f"{what}.{name}")
            typed(found, right.dtype, f"{what}.{name}")
            blank = right.isnan()
            close(found.masked_fill(blank, 0.0), right.masked_fill(blank, 0.0), f"{what}.{name}")
            holds(bool(found[blank].isnan().all()), f"{what}.{name} was written to where nothing belongs")
        elif type(found) is not type(right) or found != right:
            raise CheckFailed(Failure(f"{what}.{name} has another value", str(right), _shown(found)))


def numbers(got: Sequence[float], wanted: Sequence[float], meaning: str, message: str) -> None:
    """A short row of small numbers that stands for the rule: `wanted 0 0 1 1 2 2`."""
    allowed = TOLERANCE * max(1.0, *map(abs, wanted))
    if len(got) != len(wanted) or any(not abs(g - w) <= allowed for g, w in zip(got, wanted, strict=True)):
        drawn = maps(torch.tensor(got), torch.tensor(wanted), [0]) if 0 < len(got) == len(wanted) else {}
        pairs = ((_row(wanted, digits), _row(got, digits)) for digits in range(4, 18))
        rows = next(pair for pair in pairs if pair[0] != pair[1])
        raise CheckFailed(Failure(message, f"{rows[0]}    {meaning}", rows[1], **drawn))


def gradients(got: Mapping[str, Any], wanted: Mapping[str, Tensor], tolerance: float = TOLERANCE) -> None:
    """Gradients are there and right, by the name of what each is of. One may be zero, as that of k_proj's bias is: how
    far it may be off follows from the largest."""
    largest = max(right.abs().max().item() for right in wanted.values())
    for name, right in wanted.items():
        reached(got.get(name), name)
        allowed = tolerance * largest / max(1.0, right.abs().max().item())
        close(got[name], right, f"the gradient of {name}", tolerance=allowed)


def reached(gradient: Any, name: str) -> None:
    """There is a gradient of what is called so."""
    holds(gradient is not None, f"no gradient reaches {name}", "a gradient", "None")


def parameters(got: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]], made: str) -> None:
    """A layer has the parameters of those names and shapes, and no others."""
    odd = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
    if odd:
        show = [", ".join(f"{name} {shapes[name]}" for name in odd if name in shapes) for shapes in (wanted, got)]
        message = f"{made} has other parameters than its contract lists"
        raise CheckFailed(Failure(message, show[0] or "no others", show[1] or "none of these"))


def raises(name: str, thunk: Callable[[], Any], call: str) -> CheckFailed:
    """The learner's code raises an exception of that class; the wording is free. What it was."""
    try:
        thunk()
    except CheckFailed as error:
        if name in getattr(error.failure, "bases", ()):
            return error
        if error.failure.kind != "raised":
            raise
        failure = error.failure
        raise CheckFailed(Failure(f"{call} raises another error", name, failure.message, call, failure.line)) from None
    raise CheckFailed(Failure(f"{call} raises nothing", name, "no error", call))


def holds(condition: bool, message: str, wanted: str = "", got: str = "") -> None:
    """A condition of the contract that the other functions have no form for."""
    if not condition:
        raise CheckFailed(Failure(message, wanted, got))


def grid(mask: Tensor) -> str:
    """A mask as lines: `x` may attend, `.` may not; an additive one `0` and `-`; anything else by its number."""
    if mask.dim() != 2 or max(mask.shape) > 12:
        return str(mask.tolist())[:200]
    signs = {True: "x", False: "."} if mask.dtype == torch.bool else {0.0: "0", float("-inf"): "-"}
    return "\n".join(" ".join(signs.get(value, _short(value)) for value in row) for row in mask.tolist())


def describe(value: Any) -> str:
    """What came in place of a tensor."""
    if value is None:
        return "None"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)}"
    text = getattr(value, "text", None)
    return text if isinstance(text, str) else type(value).__name__


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"Tensor {tuple(value.shape)}"
    return str(value) if type(value) in (bool, int, float) else describe(value)


def _short(value: float) -> str:
    return "n" if value != value else f"{value:g}"


def _row(values: Sequence[float], digits: int) -> str:
    return " ".join(f"{value:.{digits}g}" for value in values)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# ------------------------------------------------------------ small parts of two tensors, for reports that draw them


class Maps(TypedDict, total=False):
    """The fields of a Failure that hold the parts."""

    wanted_map: Map
    got_map: Map
    map_at: str


def maps(got: Tensor, wanted: Tensor, place: Sequence[int]) -> Maps:
    """The window of the last two axes around `place` in both: at most 12 x 12. Nothing for a single number."""
    if not place:
        return {}
    fixed, inner = [*place[:-2]], [*place[-2:]]
    windows = [_window(at, size) for at, size in zip(inner, wanted.shape[-len(inner) :], strict=True)]
    index: tuple[int | slice, ...] = (*fixed, *windows)
    shown = [str(at) for at in fixed] + [f"{window.start}:{window.stop}" for window in windows]
    return {"wanted_map": _rows(wanted[index]), "got_map": _rows(got[index]), "map_at": f"[{', '.join(shown)}]"}


def _window(at: int, size: int) -> slice:
    """At most SIDE positions of an axis, with `at` in the middle where there is room."""
    start = max(0, min(at - SIDE // 2, size - SIDE))
    return slice(start, min(start + SIDE, size))


def _rows(part: Tensor) -> Map:
    rows = part.double().reshape(-1, part.shape[-1]).tolist()
    return tuple(tuple(value if math.isfinite(value) else str(value) for value in row) for row in rows)
