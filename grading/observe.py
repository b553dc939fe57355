"""Runs a kata's probes on a learner's file, for the diagnosis: what it gave, and what outputs do not show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grading.candidate.learner import Learner
from grading.candidate.pending import Pending
from grading.diagnosis.evidence import Decode, Facts, Observation
from grading.diagnosis.mistakes.record import CROSS, LAYERS, MASKED
from grading.diagnosis.probes import Probe, dropout_probe, probes
from grading.records import CheckFailed


def observe(learner: Learner, seed: int) -> tuple[list[Observation], Facts]:
    """What the learner's code gives for every probe of its kata."""
    stem = learner.kata.stem
    observations = [_observation(learner, probe) for probe in probes(stem, seed)]
    return observations, _facts(learner, stem, seed)


def _observation(learner: Learner, probe: Probe) -> Observation:
    try:
        outputs = _outputs(learner, probe).wait()
    except CheckFailed as failed:
        return Observation(probe, None, failed.failure.message)
    if not all(isinstance(value, Tensor) for value in outputs.values()):
        return Observation(probe, None, "not a tensor")
    return Observation(probe, outputs)


def _outputs(learner: Learner, probe: Probe) -> Pending:
    """What it gives for a probe, by name."""
    called, inputs = _given(learner, probe)
    if not probe.chunks:
        asked: Pending = called.ahead(*inputs)
        return asked.reading(lambda output: {"output": output})
    x = probe.inputs["x"]
    assert isinstance(x, Tensor)
    parents = [None if parent < 0 else parent for parent in probe.given]
    chunks = torch.split(x, list(probe.chunks), dim=1)
    steps = [(called, chunk, parent) for chunk, parent in zip(chunks, parents, strict=True)]
    return learner.decode(steps).reading(_decoded)


def _decoded(reply: tuple[list[Any], list[Any]]) -> dict[str, Any]:
    outputs, caches = reply
    cache = caches[-1] if isinstance(caches[-1], tuple | list) and len(caches[-1]) == 2 else (None, None)
    named = {f"output.{i}": output for i, output in enumerate(outputs)}
    return {**named, "keys": cache[0], "values": cache[1]}


def _facts(learner: Learner, stem: str, seed: int) -> Facts:
    """What can be had of it: a question that the learner's code cannot answer is left out."""
    found: dict[str, Any] = {}
    for question in (_state, _raised, _modified, _nan_gradients, _dropped, _decode):
        try:
            found |= question(learner, stem, seed)
        except (CheckFailed, TypeError, ValueError, AttributeError):  # odd answers: of another type or length
            continue
    return Facts(**found)


def _arguments(stem: str) -> dict[str, int]:
    sizes = {"d_model": 24, "num_heads": 6}
    return sizes | ({"num_kv_heads": 2} if stem in ("gqa", "gqa_kv_cache") else {})


def _state(learner: Learner, stem: str, seed: int) -> dict[str, Any]:
    if stem not in LAYERS:
        return {}
    make = getattr(learner, learner.kata.symbols[0])
    arguments = _arguments(stem)
    found = {"arguments": arguments, "state": make(**arguments, bias=True).parameters}
    try:
        return {**found, "state_without_bias": make(**arguments, bias=False).parameters}
    except CheckFailed:
        return found


def _raised(learner: Learner, stem: str, seed: int) -> dict[str, Any]:
    if stem not in LAYERS:
        return {}
    make, arguments = getattr(learner, learner.kata.symbols[0]), _arguments(stem)
    wrong = {"d_model": {**arguments, "d_model": 25}}
    if "num_kv_heads" in arguments:
        wrong["num_heads"] = {**arguments, "num_kv_heads": 4}
    return {"raised": {name: _class_raised(lambda a=given: make(**a).parameters) for name, given in wrong.items()}}  # type: ignore[misc]


def _class_raised(thunk: Callable[[], Any]) -> str:
    """The class of what it raises, "" for nothing."""
    try:
        thunk()
    except CheckFailed as failed:
        bases = getattr(failed.failure, "bases", ())
        return "ValueError" if "ValueError" in bases else str(bases[0]) if bases else "?"
    return ""


def _given(learner: Learner, probe: Probe) -> tuple[Any, list[Any]]:
    """What a probe calls, and with which arguments."""
    symbol = getattr(learner, probe.symbol)
    called = symbol(**probe.arguments).set(probe.weights, training=probe.training) if probe.arguments else symbol
    return called, list(probe.inputs.values())


def _modified(learner: Learner, stem: str, seed: int) -> dict[str, Any]:
    if stem == "causal_mask":
        return {}
    changed: set[str] = set()
    if stem == "gqa_kv_cache":
        layer, _ = _given(learner, probes(stem, seed)[0])
        cache = (torch.ones(2, 3, 4, 5, dtype=torch.float64), torch.ones(2, 3, 4, 5, dtype=torch.float64))
        x = torch.ones(2, 2, 30, dtype=torch.float64)
        _, (x_after, after), _ = layer.echo(x, cache)
        names = zip(("x", "keys", "values"), (x, *cache), (x_after, *after), strict=True)
        return {"modified": tuple(name for name, was, now in names if not _same(was, now))}
    for probe in probes(stem, seed):
        called, arguments = _given(learner, probe)
        try:
            _, after, _ = called.echo(*arguments)
        except CheckFailed:
            continue
        pairs = zip(probe.inputs, arguments, after, strict=True)
        changed |= {name for name, was, now in pairs if isinstance(was, Tensor) and not _same(was, now)}
    return {"modified": tuple(sorted(changed))}


def _same(was: Tensor, now: Any) -> bool:
    return isinstance(now, Tensor) and was.dtype == now.dtype and was.shape == now.shape and bool(torch.equal(was, now))


def _nan_gradients(learner: Learner, stem: str, seed: int) -> dict[str, Any]:
    if stem not in MASKED:
        return {}
    probe = next(probe for probe in probes(stem, seed) if "an empty row" in probe.name)
    called, arguments = _given(learner, probe)
    output = called(*arguments)
    if not isinstance(output, Tensor) or bool(output.isnan().any()):
        return {}
    found = _with_nan(called.backward(torch.ones_like(output), *arguments).wait().inputs)
    mask = arguments[3]
    opened = [*arguments[:3], mask | ~mask.any(dim=-1, keepdim=True)]
    # a gradient that is NaN without an empty row too has another reason
    other = _with_nan(called.backward(torch.ones_like(output), *opened).wait().inputs)
    return {"nan_gradients": found if not other else ()}


def _with_nan(grads: list[Any]) -> tuple[str, ...]:
    pairs = zip(("query", "key", "value"), grads, strict=False)
    return tuple(name for name, grad in pairs if isinstance(grad, Tensor) and bool(grad.isnan().any()))


def _dropped(learner: Learner, stem: str, seed: int) -> dict[str, Any]:
    return {"dropped": _observation(learner, dropout_probe(stem, seed))} if stem in CROSS else {}


def _decode(learner: Learner, stem: str, seed: int) -> dict[str, Any]:
    if stem != "gqa_kv_cache":
        return {}
    # sizes for which projecting keys and values takes other FLOPs than projecting queries or the output
    past, d_model, num_heads, num_kv_heads = 40, 30, 6, 2
    layer = getattr(learner, learner.kata.symbols[0])(d_model, num_heads, num_kv_heads)
    cache = (torch.ones(1, num_kv_heads, past, 5), torch.ones(1, num_kv_heads, past, 5))
    flops = layer.flops(torch.ones(1, 1, d_model), cache)
    return {"decode": Decode(flops, past, d_model, num_heads, num_kv_heads)}
