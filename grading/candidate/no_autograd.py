"""Autograd, made to raise when it is reached: for katas in which gradients are worked out by hand.

Gradients are recorded nowhere in the process from then on, so that a graph cannot be walked by hand either.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from grading.candidate.forbidden import Record, refusal, refuse_operators, swap

TEXT = "{} is part of autograd: work the gradients out by hand"

# by module: the functions that a learner would name, and those that all others end in
_FUNCTIONS = {
    "torch.autograd": ("backward", "grad"),
    "torch.autograd.functional": ("vjp", "jvp", "jacobian", "hessian", "vhp", "hvp"),
    "torch.autograd.forward_ad": ("enter_dual_level", "make_dual"),
    "torch.autograd.graph": ("_engine_run_backward",),
    "torch._functorch.apis": ("grad", "grad_and_value"),
    "torch._functorch.eager_transforms": (
        *("vjp", "jvp", "jacrev", "jacfwd", "hessian", "linearize"),
        *("grad_increment_nesting", "jvp_increment_nesting"),
    ),
}
_PUBLIC = {"torch._functorch.apis": "torch.func", "torch._functorch.eager_transforms": "torch.func"}

# the operators that autograd calls for the two steps that are to be worked out
_OPERATORS = re.compile("(attention|softmax).*backward")


def refuse_autograd(record: Record) -> None:
    """Make autograd raise `Forbidden` wherever it is reached, after `record(name)`, as long as the process lasts."""

    def refuse(name: str) -> Callable[..., Any]:
        return refusal(name, TEXT.format(name), record)

    for module, names in _FUNCTIONS.items():
        for name in names:
            swap(sys.modules.get(module), name, refuse(f"{_PUBLIC.get(module, module)}.{name}"))
    swap(torch, "Tensor.backward", refuse("Tensor.backward"))
    _refuse_recording(refuse)
    engine: Any = torch.autograd.Variable
    engine._execution_engine = SimpleNamespace(run_backward=refuse("torch.autograd"))
    function: Any = torch.autograd.Function
    function.apply = refuse("torch.autograd.Function.apply")
    refuse_operators(_OPERATORS, lambda operator: refuse(operator.replace("aten::", "torch.ops.aten.")))


def _refuse_recording(refuse: Callable[[str], Callable[..., Any]]) -> None:
    """Turn the recording of gradients off, and refuse all that turns it on."""
    torch._C._set_grad_enabled(False)
    switches: list[tuple[Any, str, str, Callable[..., bool]]] = [
        (torch.enable_grad, "__enter__", "torch.enable_grad", lambda self: True),
        (torch.set_grad_enabled, "__init__", "torch.set_grad_enabled", lambda self, mode: bool(mode)),
        (torch.inference_mode, "__enter__", "torch.inference_mode", lambda self: not self.mode),
        (torch._C, "_set_grad_enabled", "torch._C._set_grad_enabled", lambda mode: bool(mode)),
    ]
    for owner, attribute, name, turns_on in switches:
        setattr(owner, attribute, _gate(getattr(owner, attribute), turns_on, refuse(name)))


def _gate(
    original: Callable[..., Any], turns_on: Callable[..., bool], refuse: Callable[..., Any]
) -> Callable[..., Any]:
    def gate(*args: Any, **kwargs: Any) -> Any:
        return (refuse if turns_on(*args, **kwargs) else original)(*args, **kwargs)

    return gate
