"""Attention as a row of named steps, so that one of them can be swapped for a mistake."""

from collections.abc import Mapping

import torch
from torch import Tensor

from grading.diagnosis import steps
from grading.diagnosis.probes import Probe
from grading.diagnosis.steps import Cache, State, Step, append, linear, split_one

__all__ = ["PROGRAMS", "STEPS", "Cache", "State", "Step", "append", "calls", "go", "linear", "run", "split_one"]

_NAMES = (
    *("feed", "project", "split", "append", "hand_out", "share", "scale", "score", "align", "align_causal", "orient"),
    *("fill", "normalise", "clear", "correct", "drop", "weigh", "merge", "project_out", "deliver"),
    *("lengths", "triangle", "polarity", "add_fill"),
)
STEPS: dict[str, Step] = {name: getattr(steps, name) for name in _NAMES}

_PREPARE = ("feed", "project", "split")
_ATTEND = ("orient", "fill", "normalise", "clear", "correct")
_FINISH = ("weigh", "merge", "project_out")
_LAYER = (*_PREPARE, "share", "scale", "score", "align", *_ATTEND, "drop", *_FINISH)
PROGRAMS: dict[str, tuple[str, ...]] = {
    "scaled_dot_product_attention": ("feed", "scale", "score", *_ATTEND, "weigh", "deliver"),
    "causal_mask": ("lengths", "triangle", "polarity"),
    "additive_mask": ("add_fill", "deliver"),
    "MultiHeadAttention": _LAYER,
    "GroupedQueryAttention": _LAYER,
    "MultiQueryAttention": _LAYER,
    # up to hand_out a call of the cached layer builds its cache; what follows changes its output only
    "CachedGroupedQueryAttention": (
        *(*_PREPARE, "append", "hand_out"),
        *("share", "scale", "score", "align_causal", *_ATTEND, *_FINISH),
    ),
}


def _tensor(probe: Probe, name: str) -> Tensor | None:
    found = probe.inputs.get(name)
    return found if isinstance(found, Tensor) else None


def start(probe: Probe) -> State:
    """The state before the first step. A call of the cached layer starts from it with its own chunk and cache."""
    x = _tensor(probe, "x")
    query, key, value = (_tensor(probe, name) if x is None else x for name in ("query", "key", "value"))
    nothing, arguments = torch.empty(0), probe.arguments
    query = nothing if query is None else query
    heads = int(arguments.get("num_heads", 1))
    kv_heads = heads if probe.kata == "mha" else int(arguments.get("num_kv_heads", 1))
    first, second, dtype = (probe.inputs.get(name) for name in ("query_len", "key_len", "dtype"))
    return State(
        query, nothing if key is None else key, nothing if value is None else value, _tensor(probe, "mask"),
        probe.weights, heads, kv_heads, float(arguments.get("dropout", 0.0)), probe.training, None, None,
        (first if isinstance(first, int) else 0, second if isinstance(second, int) else None),
        dtype if isinstance(dtype, torch.dtype) else query.dtype, query.size(-1) // heads,
    )  # fmt: skip


def go(state: State, names: tuple[str, ...], swaps: Mapping[str, Step]) -> State:
    """The steps of these names, one after the other, the swapped ones in place of the right ones."""
    for name in names:
        state = (swaps.get(name) or STEPS[name])(state)
    return state


def calls(probe: Probe, swaps: Mapping[str, Step]) -> list[State]:
    """The calls of a probe of the cached layer, each as far as the cache that it hands out."""
    names, base = PROGRAMS[probe.symbol], start(probe)
    head = names[: names.index("hand_out") + 1]
    done: list[State] = []
    for x, given in zip(torch.split(base.query, list(probe.chunks), dim=1), probe.given, strict=True):
        past = done[given].cache if given >= 0 else None
        memory = done[-1].cache if done else None
        done.append(go(base._replace(query=x, key=x, value=x, past=past, memory=memory), head, swaps))
    return done


def run(probe: Probe, swaps: Mapping[str, Step] | None = None) -> dict[str, Tensor]:
    """The outputs of a probe: the right ones, or those of the mistakes swapped in.

    Raises:
        Exception: whatever PyTorch raises where a mistake does not fit the shapes.
    """
    swaps, names = swaps or {}, PROGRAMS[probe.symbol]
    if not probe.chunks:
        return {"output": go(start(probe), names, swaps).output}
    tail = names[names.index("hand_out") + 1 :]
    done = calls(probe, swaps)
    outputs = {f"output.{i}": go(state, tail, swaps).output for i, state in enumerate(done)}
    assert done[-1].cache is not None
    return outputs | {"keys": done[-1].cache[0], "values": done[-1].cache[1]}
