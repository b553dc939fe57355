"""What a probe is, and the random numbers for one."""

import math
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

Input = Tensor | int | torch.dtype | None
Arguments = dict[str, int | float | bool]

CLASSES = {
    "mha": "MultiHeadAttention",
    "gqa": "GroupedQueryAttention",
    "gqa_kv_cache": "CachedGroupedQueryAttention",
    "mqa": "MultiQueryAttention",
}


@dataclass(frozen=True)
class Probe:
    """One call, or one sequence of calls, of what a learner wrote.

    Attributes:
        name: unique within the kata.
        symbol: the function or class to call.
        arguments: of the constructor; {} for a function.
        weights: the state_dict to load, float64; {} for a function.
        inputs: in the order of the signature. The cached kata has x alone.
        training: whether the layer is in training mode.
        chunks: the cached kata cuts x, along its tokens, in chunks of these lengths and makes one call for each.
        resume: for each chunk, the call whose returned cache it is given, -1 for None; () means the call before.
    """

    name: str
    kata: str
    symbol: str
    arguments: Arguments = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    inputs: dict[str, Input] = field(default_factory=dict)
    training: bool = False
    chunks: tuple[int, ...] = ()
    resume: tuple[int, ...] = ()

    @property
    def given(self) -> tuple[int, ...]:
        """For each chunk, the call whose cache it is given, -1 for None."""
        return self.resume or tuple(range(-1, len(self.chunks) - 1))


@dataclass(frozen=True)
class Sizes:
    """B, H, K, E and the two lengths of one probe."""

    B: int
    L: int
    S: int
    H: int
    K: int
    E: int


def draw_normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def draw_mask(generator: Generator, *shape: int, empty: bool = False) -> Tensor:
    """Random, about half True; every row has a True, unless empty: then the second row of each matrix has none."""
    mask = torch.rand(*shape, generator=generator) < 0.5
    chosen = torch.randint(shape[-1], (*shape[:-1], 1), generator=generator)
    mask.scatter_(-1, chosen, True)
    # a row without any False would be blind to the fill
    mask.scatter_(-1, (chosen + 1) % shape[-1], False)
    if empty:
        mask[..., 1, :] = False
    return mask


def draw_weights(generator: Generator, D: int, kv: int, bias: bool) -> dict[str, Tensor]:
    """A state_dict of gain 1.2: scores of a few units, so that a wrong scale cannot hide."""
    state = {}
    for name, width in (("q_proj", D), ("k_proj", kv), ("v_proj", kv), ("o_proj", D)):
        state[f"{name}.weight"] = draw_normal(generator, width, D) * (1.2 / math.sqrt(D))
        if bias:
            state[f"{name}.bias"] = draw_normal(generator, width)
    return state
