"""Where a kata refuses autograd it raises, by whatever road it is reached, and nothing else does.

Every test refuses it in a process of its own: it stays as it is in this one.
"""

import os
import textwrap

import pytest
import torch
from torch.autograd import forward_ad, functional

from grading.candidate.forbidden import Forbidden, poison
from grading.candidate.no_autograd import refuse_autograd
from grading.candidate.session import Session
from tests.engine.processes import forked

if not hasattr(os, "fork"):
    pytest.skip("this system cannot fork", allow_module_level=True)

aten = torch.ops.aten
x = torch.rand(3, 4)


def refused(work):
    """(the exception's class and text, the ledger) of work() where autograd is refused."""

    def attempt():
        ledger = []
        poison(ledger.append)
        refuse_autograd(ledger.append)
        try:
            work()
        except BaseException as error:
            return [type(error).__name__, str(error)], ledger
        return ["", ""], ledger

    return forked(attempt)[0][1]


def total(tensor):
    return tensor.exp().sum()


def leaf():
    return x.clone().requires_grad_()


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        return 2 * tensor

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


def entered(context):
    with context:
        pass


@torch.enable_grad()
def decorated():
    return total(x)


def dual():
    with forward_ad.dual_level():
        forward_ad.make_dual(x, x)


ROADS = {
    "Tensor.backward": lambda: total(leaf()).backward(),
    "Tensor.backward of what has no graph": lambda: total(x).backward(),
    "torch.autograd.backward": lambda: torch.autograd.backward(total(leaf())),
    "torch.autograd.grad": lambda: torch.autograd.grad(total(leaf()), leaf()),
    "engine": lambda: torch.autograd.Variable._execution_engine.run_backward((x,), (x,), False, False, (x,)),
    "functional.vjp": lambda: functional.vjp(total, x),
    "functional.jacobian": lambda: functional.jacobian(total, x),
    "functional.hessian": lambda: functional.hessian(total, x),
    "forward mode": dual,
    "func.grad": lambda: torch.func.grad(total)(x),
    "func.grad_and_value": lambda: torch.func.grad_and_value(total)(x),
    "func.vjp": lambda: torch.func.vjp(total, x),
    "func.jvp": lambda: torch.func.jvp(total, (x,), (x,)),
    "func.jacrev": lambda: torch.func.jacrev(total)(x),
    "func.jacfwd": lambda: torch.func.jacfwd(total)(x),
    "func.hessian": lambda: torch.func.hessian(total)(x),
    "func.linearize": lambda: torch.func.linearize(total, x),
    "vmap of a gradient": lambda: torch.vmap(torch.func.grad(total))(x),
    "inside of func": lambda: torch._functorch.eager_transforms.grad_increment_nesting().__enter__(),
    "Function.apply": lambda: Doubled.apply(x),
    "enable_grad": lambda: entered(torch.enable_grad()),
    "enable_grad as a decorator": decorated,
    "set_grad_enabled": lambda: torch.set_grad_enabled(True),
    "set_grad_enabled by keyword": lambda: entered(torch.set_grad_enabled(mode=True)),
    "inference mode left": lambda: entered(torch.inference_mode(False)),
    "builtin switch": lambda: torch._C._set_grad_enabled(True),
    "softmax": lambda: torch._softmax_backward_data(x, x, -1, torch.float32),
    "softmax operator": lambda: aten._softmax_backward_data(x, x, -1, torch.float32),
    "logarithm of softmax": lambda: aten._log_softmax_backward_data.default(x, x, -1, torch.float32),
    "attention": lambda: aten._scaled_dot_product_flash_attention_for_cpu_backward(
        *(x[None, None],) * 5, x[None], 0.0, False
    ),
}


@pytest.mark.parametrize("road", ROADS)
def test_autograd_raises_and_is_noted(road):
    (kind, text), ledger = refused(ROADS[road])
    assert kind == Forbidden.__name__, text
    assert "is part of autograd: work the gradients out by hand" in text
    assert ledger


TOOLS = {
    "softmax": lambda: x.softmax(-1),
    "einsum": lambda: torch.einsum("ij,kj->ik", x, x),
    "vmap": lambda: torch.vmap(torch.matmul)(x[:, None], x[:, :, None]),
    "no_grad": lambda: entered(torch.no_grad()),
    "set_grad_enabled": lambda: entered(torch.set_grad_enabled(False)),
    "inference mode": lambda: entered(torch.inference_mode()),
    "detach": lambda: x.detach().clone(),
    "naming": lambda: (torch.autograd.grad, torch.enable_grad(), torch.func.vjp, Doubled),
    "a backward of one's own": lambda: Doubled.backward(None, x),
    "requires_grad": leaf,
}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_learners_tools_stay(tool):
    assert refused(TOOLS[tool]) == [["", ""], []]


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_no_graph_is_recorded(context):
    def work():
        with context():
            pass
        assert total(leaf()).grad_fn is None

    assert refused(work) == [["", ""], []]


def answered(source, refuses):
    """What a candidate answers to a call of f(x), after it has loaded the source."""
    request = {"source": textwrap.dedent(source), "file": "f.py", "seed": 0, "symbols": ["f"]}
    request |= {"given": [], "signatures": {}}
    call = {"do": "call", "layer": None, "symbol": "f", "args": [x], "same": [0], "kwargs": {}}

    def serve():
        session = Session([])
        replies = [session.answer({"do": "load", **request, "refuses": refuses}), session.answer(call)]
        return [[each.get("error"), each["reached"]] for each in replies], torch.is_grad_enabled()

    (loaded, called), recording = forked(serve)[0][1]
    assert loaded == [None, []]
    assert recording is not bool(refuses)
    return called


CAUGHT = """
    def f(x):
        x = x.requires_grad_()
        try:
            x.exp().sum().backward()
        except RuntimeError:
            pass
        return x.detach()
"""


def test_a_candidate_refuses_what_the_kata_refuses():
    error, reached = answered("def f(x):\n    return x.requires_grad_().sum().backward()\n", ["autograd"])
    assert (error["kind"], error["line"]) == ("forbidden", 2)
    assert reached == ["Tensor.backward"]
    assert answered(CAUGHT, ["autograd"]) == [None, ["Tensor.backward"]]
    assert answered(CAUGHT, []) == [None, []]
