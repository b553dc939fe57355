"""The functions that would do a learner's exercise in one call, made to raise when they are reached.

Naming or importing one is fine; calling it raises `Forbidden` at the caller's own line. Undoing this from inside
the process is possible for somebody determined: it teaches a rule, and the walls stand elsewhere.
"""

from __future__ import annotations

import ctypes
import functools
import re
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import torch

Record = Callable[[str], None]


class Forbidden(RuntimeError):
    """A function that does the exercise by itself was called."""


# every key under which a call can first meet a kernel; without FuncTorchVmapMode, torch.vmap slips through
_KEYS = (
    "CompositeImplicitAutograd",
    "CompositeExplicitAutograd",
    "CompositeImplicitAutogradNestedTensor",
    "CPU",
    "CUDA",
    "MPS",
    "Meta",
    "NestedTensorCPU",
    "AutogradCPU",
    "AutogradCUDA",
    "AutogradMPS",
    "AutogradNestedTensor",
    "AutocastCPU",
    "AutocastCUDA",
    "FuncTorchBatched",
    "FuncTorchBatchedDecomposition",
    "FuncTorchVmapMode",
    "Functionalize",
)

# found before the audit, which lets no symbol be looked up
_take_reference = ctypes.pythonapi.Py_IncRef

_ATTENTION = re.compile("(?!.*_backward).*(attention|transformer_encoder_layer)")

# Python functions that hold an attention of their own, or are the road that a learner would name
_PYTHON = (
    ("torch.nn.functional", "multi_head_attention_forward", "F.multi_head_attention_forward"),
    ("torch.nn", "MultiheadAttention.forward", "nn.MultiheadAttention"),
    ("torch.nn", "TransformerEncoderLayer.forward", "nn.TransformerEncoderLayer"),
    ("torch.nn", "TransformerDecoderLayer.forward", "nn.TransformerDecoderLayer"),
    ("torch.ao.nn.quantizable.modules.activation", "MultiheadAttention.forward", "quantizable.MultiheadAttention"),
    (
        "torch.ao.nn.quantizable.modules.activation",
        "MultiheadAttention._forward_impl",
        "quantizable.MultiheadAttention",
    ),
    ("torch._higher_order_ops.flex_attention", "FlexAttentionHOP.__call__", "flex_attention"),
    ("torch._higher_order_ops.flex_attention", "math_attention", "flex_attention"),
    ("torch._higher_order_ops.flex_attention", "_math_attention_inner", "flex_attention"),
    ("torch._higher_order_ops.flex_attention", "sdpa_dense", "flex_attention"),
)

# not imported by torch itself: a stand-in costs nothing, the real ones up to 1.1 s and torch._dynamo
_STAND_INS = {
    "torch.nn.attention.flex_attention": "flex_attention",
    "torch.nn.attention.varlen": "torch.nn.attention.varlen",
    "torch.onnx.ops": "torch.onnx.ops",
    "torch.onnx.ops._impl": "torch.onnx.ops",
}


def poison(record: Record) -> None:
    """Make every forbidden function raise `Forbidden`, after `record(name)`.

    For a process that has nothing else to do than to serve candidates: the change lasts as long as the process.
    """
    refuse_operators(_ATTENTION, lambda operator: _whole(_public(operator), record))
    for module, path, name in _PYTHON:
        swap(sys.modules.get(module), path, _whole(name, record))
    for module, name in _STAND_INS.items():
        _stand_in(module, name, record)


def refusal(name: str, text: str, record: Record) -> Callable[..., NoReturn]:
    """What stands in the place of a function of that name: it raises `Forbidden` with the text."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        record(name)
        raise Forbidden(text)

    return refuse


def _whole(name: str, record: Record) -> Callable[..., NoReturn]:
    return refusal(name, f"{name} does the attention in one call: write it with matmul and softmax", record)


def _public(operator: str) -> str:
    public = "F." if operator == "aten::scaled_dot_product_attention" else "torch.ops.aten."
    return operator.replace("aten::", public)


def refuse_operators(pattern: re.Pattern[str], refuse: Callable[[str], Callable[..., NoReturn]]) -> None:
    """Put what `refuse` gives for its name in the place of each of PyTorch's operators that the pattern is found in."""
    names = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::")]
    library: Any = torch._C._dispatch_library("IMPL", "aten", "", __file__, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "overriding a previously registered kernel": that is the purpose
        for operator in filter(pattern.search, names):
            kernel = refuse(operator)
            for key in _KEYS:
                library.impl(operator.removeprefix("aten::"), key, kernel, False)
    # the kernels go when the library object does: one reference that no collector and no frame can find
    _take_reference(ctypes.py_object(library))


def swap(module: types.ModuleType | None, path: str, refuse: Callable[..., NoReturn]) -> None:
    """Give the function other code, so that every alias of it is covered; without it, there is nothing to do."""
    try:
        function: Any = functools.reduce(getattr, path.split("."), module)
    except AttributeError:
        return
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    template = _template.__code__
    consts = tuple(refuse if const == "the refusal stands here" else const for const in template.co_consts)
    free = function.__code__.co_freevars
    function.__code__ = template.replace(co_consts=consts, co_freevars=free, co_name=function.__name__)


def _template(*args: Any, **kwargs: Any) -> Any:
    # the code runs with the globals of another module: what it calls has to be among its constants
    refuse: Any = "the refusal stands here"
    return refuse(*args, **kwargs)


def _stand_in(module_name: str, name: str, record: Record) -> None:
    if module_name in sys.modules:
        return
    refuse = _whole(name, record)

    def attribute(wanted: str) -> type:
        if wanted.startswith("__"):
            raise AttributeError(wanted)
        # a class: it may stand in an annotation or be imported, and refuses only when it is called
        return type(wanted, (), {"__new__": refuse, "__module__": module_name})

    module = types.ModuleType(module_name, f"Not available here: {name} does the attention by itself.")
    module.__dict__.update(__getattr__=attribute, __path__=[])
    sys.modules[module_name] = module
    parent, _, leaf = module_name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], leaf, module)
