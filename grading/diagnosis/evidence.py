"""What was seen of a learner's code."""

from dataclasses import dataclass, field

from torch import Tensor

from grading.diagnosis.probes import Probe

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Observation:
    """What the learner's code gave for a probe, or why it gave nothing.

    Attributes:
        outputs: {"output": ...}; of the cached kata {"output.0": ..., ..., "keys": ..., "values": ...}.
        error: "RuntimeError: the text", when there are no outputs.
    """

    probe: Probe
    outputs: dict[str, Tensor] | None
    error: str | None = None


@dataclass(frozen=True)
class Decode:
    """The cost of one call of the cached layer: x (1, 1, D) with a cache of `past` tokens."""

    flops: int
    past: int
    d_model: int
    num_heads: int
    num_kv_heads: int


@dataclass(frozen=True)
class Facts:
    """Evidence that no output shows. Whatever was not looked for keeps its default and proves nothing.

    Attributes:
        state: shapes in the state_dict of a layer made with `arguments`, bias=True.
        state_without_bias: the same with bias=False.
        arguments: d_model, num_heads (and num_kv_heads) for which these were taken.
        raised: for a constructor call that has to raise ValueError, by "d_model" (num_heads does not divide it) and
            "num_heads" (num_kv_heads does not divide it): the class of what it raised, "" for nothing.
        modified: names of inputs that the call changed.
        nan_gradients: names of the inputs whose gradient has a NaN, for a mask with an empty row and an output
            without a NaN.
        dropped: the learner's output for `dropout_probe(kata, seed)`.
        decode: cost of a decode step.
    """

    state: Shapes | None = None
    state_without_bias: Shapes | None = None
    arguments: dict[str, int] = field(default_factory=dict)
    raised: dict[str, str] = field(default_factory=dict)
    modified: tuple[str, ...] = ()
    nan_gradients: tuple[str, ...] = ()
    dropped: Observation | None = None
    decode: Decode | None = None
