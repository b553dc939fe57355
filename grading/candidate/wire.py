"""Bytes <-> tensors and plain data, the only language between examiner and candidate.

A frame is a head (magic, length of the skeleton, length of the body), a JSON skeleton and the raw bytes of the
tensors. Nothing in it is executed or unpickled. What cannot be data crosses as an Opaque: a short description.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MAGIC = b"kata"
HEAD = struct.Struct("!4sIQ")
MAX_SKELETON = 256 * 1024
MAX_BODY = 64 * 1024 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 12
MAX_DIMENSIONS = 8

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
    )
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


class WireError(ValueError):
    """A frame that is not one: the fault of whoever sent it."""


@dataclass(frozen=True)
class Opaque:
    """Something that is no plain data, as a description: "numpy.ndarray (2, 5, 4)"."""

    text: str


class Reference:
    """An object that the candidate has, by the number under which it was made there: only requests hold references."""

    def __init__(self, number: int) -> None:
        self.number = number


# --------------------------------------------------------------------------------------------- writing


def encode(value: Any, request: bool = False) -> bytes:
    """The frame of a value made of None, bool, int, float, str, list, tuple, dict, dtype and Tensor.

    Anything else, or a tensor that is not plain (sparse, meta, a subclass, too large), becomes an Opaque. Tensors
    cross as contiguous ones, but in a request a transposed or expanded one keeps its strides, and a Reference may stand
    for an object of the candidate's.
    """
    writer = _Writer(request)
    text = _compact(writer.write(value, 0)).encode("utf-8", "backslashreplace")
    if len(text) > MAX_SKELETON:
        return encode(Opaque("more plain data than can be sent"))
    return b"".join((HEAD.pack(MAGIC, len(text), MAX_BODY - writer.room), text, *writer.chunks))


_compact = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode  # the writer bounds the depth


class _Writer:
    def __init__(self, request: bool) -> None:
        self.chunks: list[memoryview] = []  # the numbers of the tensors, of which a frame is the first copy
        self.request = request
        self.nodes = 0
        self.room = MAX_BODY

    def write(self, value: Any, depth: int) -> Any:
        self.nodes += 1
        kind = type(value)
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            return {"o": "data nested too deeply, or too much of it"}
        if value is None or kind is bool or kind is float:
            return value
        if kind is int:
            return value if abs(value) < 2**63 else {"o": "a huge integer"}
        if kind is str:
            return value[:20_000]
        if kind is Tensor or kind is torch.nn.Parameter:
            return self._tensor(value)
        if kind is list:
            return {"l": [self.write(item, depth + 1) for item in value]}
        if kind is dict and all(type(key) is str for key in value):
            return {"d": [[key[:500], self.write(item, depth + 1)] for key, item in value.items()]}
        if isinstance(value, tuple):
            return {"t": [self.write(item, depth + 1) for item in tuple.__iter__(value)]}
        if kind is torch.dtype and value in NAMES:
            return {"y": NAMES[value]}
        if kind is Opaque:
            return {"o": value.text[:500]}
        if self.request and isinstance(value, Reference):
            return {"r": value.number}
        return {"o": describe(value)}

    def _tensor(self, tensor: Tensor) -> Any:
        dtype, shape = NAMES.get(tensor.dtype), tensor.shape
        if dtype is None or tensor.layout is not torch.strided or not tensor.is_cpu or len(shape) > MAX_DIMENSIONS:
            return {"o": describe(tensor)}
        if self.request and not tensor.is_contiguous():
            span = 1 + sum((length - 1) * step for length, step in zip(shape, tensor.stride(), strict=True))
            return {"v": [self._tensor(tensor.as_strided((span,), (1,))), list(shape), list(tensor.stride())]}
        size = math.prod(shape) * tensor.itemsize
        if size > self.room:
            return {"o": describe(tensor)}
        self.room -= size
        numbers = tensor.detach().resolve_neg().contiguous()
        if numbers.dtype is torch.bfloat16:  # NumPy has no such numbers
            numbers = numbers.view(torch.int16)
        if size:
            self.chunks.append(numbers.numpy().data)
        return {"x": [dtype, list(shape)]}


def describe(value: Any) -> str:
    """What a value is, in a few words, without asking the value itself."""
    kind = type(value)
    name = kind.__name__ if kind.__module__ in ("builtins", "torch") else f"{kind.__module__}.{kind.__name__}"
    shape = getattr(value, "shape", None)
    text = f"{name} {tuple(shape)}" if isinstance(shape, tuple) else name
    if isinstance(value, Tensor):
        odd = [str(value.dtype).removeprefix("torch.")]
        odd += [] if value.layout is torch.strided else [str(value.layout).removeprefix("torch.")]
        odd += [] if value.device.type == "cpu" else [f"on {value.device.type}"]
        text = f"{text} {' '.join(odd)}"
    return text[:200]


# --------------------------------------------------------------------------------------------- reading


def lengths(head: bytes | bytearray) -> tuple[int, int]:
    """Lengths of skeleton and body that a frame's head announces, checked before anything is allocated."""
    try:
        magic, skeleton, body = HEAD.unpack(head)
    except struct.error as error:
        raise WireError("a head of the wrong length") from error
    if magic != MAGIC or skeleton > MAX_SKELETON or body > MAX_BODY:
        raise WireError("a head that announces no frame")
    return skeleton, body


def decode(frame: bytes | bytearray, request: bool = False) -> Any:
    """The value of a frame; WireError for everything that is not exactly one frame.

    Only in a request tensors may be strided, and references stand: a tensor that claims terabytes on a few bytes has no
    business in a reply, and neither has a number of what the candidate itself holds.
    """
    skeleton, body = lengths(frame[: HEAD.size])
    if len(frame) != HEAD.size + skeleton + body:
        raise WireError("a frame of the wrong length")
    text, data = frame[HEAD.size : HEAD.size + skeleton], memoryview(frame)[HEAD.size + skeleton :]
    try:
        tree = json.loads(text.decode("utf-8"))
        reader = _Reader(data, request)
        value = reader.read(tree, 0)
    except WireError:
        raise
    except (ValueError, TypeError, RecursionError, MemoryError, OverflowError) as error:
        raise WireError(f"not a frame: {type(error).__name__}") from error
    if reader.at != len(data):
        raise WireError("bytes that belong to no tensor")
    return value


_PLAIN = {type(None), bool, int, float, str}  # what JSON gives besides lists and dicts
_CONTAINERS = ("d", "l", "t")


class _Reader:
    def __init__(self, data: memoryview, request: bool) -> None:
        self.data = data
        self.request = request
        self.at = 0
        self.nodes = 0

    def read(self, node: Any, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH + 1:
            raise WireError("data nested too deeply, or too much of it")
        if type(node) in _PLAIN:
            return node
        if type(node) is not dict or len(node) != 1:
            raise WireError("an unknown node")
        ((tag, content),) = node.items()
        if tag == "x":
            return self._tensor(content)
        if tag in _CONTAINERS and type(content) is list:
            return self._container(tag, content, depth + 1)
        if tag == "v" and self.request:
            base, shape, steps = content
            return self._tensor(base["x"]).as_strided(shape, steps)
        if tag == "r" and self.request and type(content) is int:
            return Reference(content)
        if tag == "o" and isinstance(content, str):
            return Opaque(content[:500])
        if tag == "y" and isinstance(content, str) and content in DTYPES:
            return DTYPES[content]
        raise WireError("an unknown node")

    def _container(self, tag: str, content: list[Any], depth: int) -> Any:
        if tag != "d":
            items = [self.read(item, depth) for item in content]
            return tuple(items) if tag == "t" else items
        values = {}
        for pair in content:
            if type(pair) is not list or len(pair) != 2 or type(pair[0]) is not str:
                raise WireError("a dict without pairs")
            values[pair[0]] = self.read(pair[1], depth)
        return values

    def _tensor(self, content: Any) -> Tensor:
        if not isinstance(content, list) or len(content) != 2 or content[0] not in DTYPES:
            raise WireError("a tensor of unknown dtype")
        dtype, shape, count = DTYPES[content[0]], content[1], 1
        if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
            raise WireError("a tensor without a shape")
        for length in shape:
            if type(length) is not int or not 0 <= length < 2**40:
                raise WireError("a tensor of impossible shape")
            count *= length
        size = count * dtype.itemsize
        if size > len(self.data) - self.at:
            raise WireError("a tensor larger than its bytes")
        start, self.at = self.at, self.at + size
        if not count:
            return torch.empty(shape, dtype=dtype)
        data = bytearray(self.data[start : self.at])
        if dtype is torch.bool:  # any byte is a number, and not any is a bool
            return torch.frombuffer(data, dtype=torch.uint8).ne(0).view(shape)
        return torch.frombuffer(data, dtype=dtype).view(shape)
