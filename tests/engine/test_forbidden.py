"""The forbidden functions raise, by whatever road they are reached, and nothing else does.

Every test poisons a process of its own: the functions stay as they are in this one.
"""

import importlib
import os
import sys
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from grading.candidate.forbidden import Forbidden, poison
from tests.engine.processes import forked

if not hasattr(os, "fork"):
    pytest.skip("this system cannot fork", allow_module_level=True)

aten = torch.ops.aten


def poisoned(work):
    """(the exception's class and text, the ledger) of work() where the functions are poisoned."""

    def attempt():
        ledger = []
        poison(ledger.append)
        try:
            work()
        except BaseException as error:
            return [type(error).__name__, str(error)], ledger
        return ["", ""], ledger

    return forked(attempt)[0][1]


x = torch.rand(1, 2, 3, 4)
row = x[0, 0]


def attend(query):
    return F.scaled_dot_product_attention(query, query, query)


def in_thread():
    errors = []

    def run():
        try:
            attend(x)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for error in errors:
        raise error


def with_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attend(x)


def in_inference_mode():
    with torch.inference_mode():
        attend(x)


def heads():
    return nn.MultiheadAttention(4, 2, batch_first=True)


def encoder():
    return nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)


def subclassed():
    class Mine(torch.Tensor):
        pass

    attend(x.as_subclass(Mine))


def flex(name):
    module = importlib.import_module("torch.nn.attention.flex_attention")
    getattr(module, name)(x, x, x)


weights = {"eye": torch.eye(4), "in": torch.rand(12, 4), "bias": torch.rand(12), "out": torch.rand(4)}

ROADS = {
    "F": lambda: attend(x),
    "two dimensions": lambda: attend(row),
    "float64": lambda: attend(x.double()),
    "dropout": lambda: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
    "grouped": lambda: F.scaled_dot_product_attention(x, x[:, :1], x[:, :1], enable_gqa=True),
    "with gradient": lambda: attend(x.clone().requires_grad_()),
    "builtin": lambda: torch._C._nn.scaled_dot_product_attention(x, x, x),
    "operator": lambda: aten.scaled_dot_product_attention(x, x, x),
    "overload": lambda: aten.scaled_dot_product_attention.default(x, x, x),
    "decomposed": lambda: aten.scaled_dot_product_attention.default.decompose(x, x, x),
    "math operator": lambda: aten._scaled_dot_product_attention_math(x, x, x),
    "math function": lambda: torch._scaled_dot_product_attention_math(x, x, x),
    "flash operator": lambda: aten._scaled_dot_product_flash_attention_for_cpu(x, x, x),
    "vmap": lambda: torch.vmap(attend)(x),
    "vmap of an operator": lambda: torch.vmap(aten.scaled_dot_product_attention)(x, x, x),
    "vmap of the math": lambda: torch.vmap(aten._scaled_dot_product_attention_math.default)(x, x, x),
    "func.grad": lambda: torch.func.grad(lambda query: attend(query).sum())(x),
    "func.jvp": lambda: torch.func.jvp(attend, (x,), (x,)),
    "func.functionalize": lambda: torch.func.functionalize(attend)(x),
    "meta": lambda: attend(x.to("meta")),
    "subclass": subclassed,
    "thread": in_thread,
    "autocast": with_autocast,
    "inference mode": in_inference_mode,
    "fx": lambda: torch.fx.symbolic_trace(attend)(x),
    "trace": lambda: torch.jit.trace(attend, x),
    "nn.MultiheadAttention": lambda: heads()(row, row, row),
    "nn.MultiheadAttention, evaluating": lambda: heads().eval()(row, row, row),
    "nn.MultiheadAttention.forward": lambda: nn.MultiheadAttention.forward(heads(), row, row, row),
    "quantizable": lambda: torch.ao.nn.quantizable.MultiheadAttention(4, 2)(row, row, row),
    "multi_head_attention_forward": lambda: F.multi_head_attention_forward(
        *(row, row, row, 4, 2, weights["in"], weights["bias"], None, None, False, 0.0, weights["eye"], weights["out"])
    ),
    "native heads": lambda: torch._native_multi_head_attention(
        *(x[0], x[0], x[0], 4, 2, weights["in"], weights["bias"], weights["eye"], weights["out"])
    ),
    "nn.TransformerEncoderLayer": lambda: encoder()(x[0]),
    "nn.TransformerEncoderLayer, evaluating": lambda: encoder().eval()(x[0]),
    "its self-attention": lambda: encoder()._sa_block(x[0], None, None),
    "nn.TransformerEncoder": lambda: nn.TransformerEncoder(encoder(), 1)(x[0]),
    "nn.TransformerDecoderLayer": lambda: nn.TransformerDecoderLayer(4, 2, 8)(x[0], x[0]),
    "flex_attention": lambda: flex("flex_attention"),
    "create_block_mask": lambda: flex("create_block_mask"),
    "flex operator": lambda: torch.ops.higher_order.flex_attention(x, x, x, None, None, 1.0, {}),
    "flex inside": lambda: sys.modules["torch._higher_order_ops.flex_attention"].math_attention(),
}


@pytest.mark.parametrize("road", ROADS)
def test_a_forbidden_function_raises_and_is_noted(road):
    (kind, text), ledger = poisoned(ROADS[road])
    assert kind == Forbidden.__name__
    assert "does the attention in one call: write it with matmul and softmax" in text
    assert ledger


@pytest.mark.parametrize("road", ["F", "vmap", "math operator", "thread", "nn.MultiheadAttention", "autocast"])
def test_without_the_poison_it_works(road):
    assert forked(lambda: ROADS[road]() is None or True)[0] == ["", True]


def test_torchscript_is_noted_though_it_makes_an_error_of_its_own():
    (kind, _), ledger = poisoned(lambda: torch.jit.script(scripted)(x))
    assert kind
    assert ledger == ["F.scaled_dot_product_attention"]


def scripted(query: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(query, query, query)


def test_catching_the_error_does_not_hide_it():
    def caught():
        try:
            attend(x)
        except Exception:
            pass

    (kind, _), ledger = poisoned(caught)
    assert (kind, ledger) == ("", ["F.scaled_dot_product_attention"])


def test_the_error_is_raised_at_the_callers_own_line():
    def work():
        poison(lambda name: None)
        try:
            attend(x)
        except Forbidden as error:
            return error.__traceback__.tb_next.tb_frame.f_code.co_name
        return ""

    assert forked(work)[0] == ["", "attend"]


def test_naming_importing_and_making_is_free():
    def work():
        from torch.nn.attention.flex_attention import BlockMask, flex_attention

        saved = F.scaled_dot_product_attention
        annotation = BlockMask | None
        return saved is not None, flex_attention is not None, annotation is not None, heads() is not None, encoder()

    assert poisoned(work) == [["", ""], []]


TOOLS = {
    "linear": lambda: nn.Linear(4, 4)(x),
    "softmax": lambda: F.softmax(x, dim=-1),
    "matmul": lambda: x @ x.transpose(-2, -1),
    "einsum": lambda: torch.einsum("bhqd,bhkd->bhqk", x, x),
    "dropout": lambda: F.dropout(x, 0.5),
    "masked_fill": lambda: x.masked_fill(x > 0.5, 0.0),
    "vmap": lambda: torch.vmap(torch.matmul)(x, x.transpose(-2, -1)),
    "script": lambda: torch.jit.script(nn.Linear(4, 4))(x),
    "backward": lambda: x.clone().requires_grad_().exp().sum().backward(),
    "norm": lambda: nn.LayerNorm(4)(x),
    "bmm": lambda: torch.baddbmm(torch.zeros(2, 3, 3), x[0], x[0].mT),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_learners_tools_stay(tool):
    assert poisoned(TOOLS[tool]) == [["", ""], []]


def test_nothing_heavy_is_imported():
    def work():
        before = set(sys.modules)
        poison(lambda name: None)
        return sorted(set(sys.modules) - before)

    new = forked(work)[0][1]
    assert not [name for name in new if name.split(".")[0] == "sympy" or "_dynamo" in name or "distributed" in name]
    assert len(new) <= 4, "only the stand-ins"
