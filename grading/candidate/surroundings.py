"""What a call should leave as it found it, apart from its arguments: PyTorch's settings and the layer's own state."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor, nn


def surroundings(layer: nn.Module | None) -> dict[str, Any]:
    """The settings that every caller shares, and the parameters and the mode of the layer that is called."""
    found = {
        "whether gradients are recorded": torch.is_grad_enabled(),
        "the default dtype": torch.get_default_dtype(),
        "the number of threads": torch.get_num_threads(),
        "the seed of PyTorch's random numbers": torch.initial_seed(),
        "whether PyTorch's algorithms are deterministic": torch.are_deterministic_algorithms_enabled(),
        "the state of Python's random numbers": random.getstate(),
    }
    if layer is not None:
        found["the mode of the layer"] = layer.training
        found |= {name: parameter.detach().clone() for name, parameter in layer.named_parameters()}
    return found


def settle() -> None:
    """Bring the settings to what no caller has by chance: a call that changes them may have been there before."""
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(1)
    if torch.are_deterministic_algorithms_enabled():  # to set it, even to what it is, imports torch._inductor: a second
        torch.use_deterministic_algorithms(False)
    begin_random_numbers(torch.initial_seed() + 1)


def begin_random_numbers(seed: int) -> None:
    """What the learner's code draws depends on the run's seed, so that a run can be repeated."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of what is not as it was."""
    return [name for name in before | after if not _same(before.get(name), after.get(name))]


def _same(was: Any, now: Any) -> bool:
    if isinstance(was, Tensor) and isinstance(now, Tensor):
        return was.dtype == now.dtype and was.shape == now.shape and torch.equal(was, now)
    return bool(was == now)
