"""Frames: what goes in comes out, and no bytes do more than raise WireError."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.candidate import wire
from grading.candidate.wire import HEAD, MAGIC, Opaque, WireError, decode, encode


def same(a, b):
    if isinstance(a, torch.Tensor):
        return (
            type(b) is torch.Tensor and a.dtype == b.dtype and a.shape == b.shape and bool(((a == b) | (a != a)).all())
        )
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return a == b or (a != a and b != b)


@pytest.mark.parametrize("dtype", wire.DTYPES.values(), ids=str)
def test_tensors_of_each_dtype(dtype):
    for shape in [(), (0,), (3,), (2, 0, 4), (2, 3, 4)]:
        tensor = torch.ones(shape).to(dtype)
        assert same(tensor, decode(encode(tensor)))


def test_plain_data():
    value = {"a": [1, -2.5, float("inf"), None, True, "x\udcff"[:1]], "b": (torch.float16, ()), "c": {}}
    assert same(value, decode(encode(value)))
    assert decode(encode(float("nan"))) != decode(encode(float("nan")))


def test_strides_cross_only_to_the_candidate():
    tensor = torch.arange(6.0).reshape(2, 3).T
    assert decode(encode(tensor)).is_contiguous()
    there = decode(encode(tensor, request=True), request=True)
    assert there.stride() == tensor.stride()
    assert torch.equal(there, tensor)
    expanded = torch.arange(3.0).expand(4, 3)
    assert decode(encode(expanded, request=True), request=True).stride() == (0, 1)
    with pytest.raises(WireError):
        decode(encode(tensor, request=True))


class Odd(torch.Tensor):
    pass


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), "object"),
        (torch.ones(2).to_sparse(), "sparse"),
        (torch.empty(2, device="meta"), "meta"),
        (torch.ones(2).as_subclass(Odd), "Odd"),
        (torch.ones(1).expand(10**13), "10000000000000"),
        (2**100, "huge"),
        ({1: 2}, "dict"),
        (torch.ones([1] * 9), "Tensor"),
    ],
)
def test_what_is_no_data_is_described(value, words):
    got = decode(encode([value]))[0]
    assert isinstance(got, Opaque)
    assert words in got.text


def test_parameters_are_tensors():
    assert type(decode(encode(torch.nn.Parameter(torch.ones(2))))) is torch.Tensor


def frame(tree, body=b""):
    text = json.dumps(tree).encode()
    return HEAD.pack(MAGIC, len(text), len(body)) + text + body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"kata",
        HEAD.pack(b"nope", 1, 0) + b"1",
        HEAD.pack(MAGIC, 2**32 - 1, 0),
        HEAD.pack(MAGIC, 2, 2**60),
        frame({"x": ["float32", [2**39, 2**39]]}),
        frame({"x": ["float32", [-1]]}),
        frame({"x": ["float32", [True]]}),
        frame({"x": ["float32", [1.0]]}, b"1234"),
        frame({"x": ["object", [1]]}, b"1234"),
        frame({"x": ["float32", [1]]}, b"123"),
        frame({"x": ["float32", [1]]}, b"12345"),
        frame({"v": [{"x": ["float32", [1]]}, [10**12], [0]]}, b"1234"),
        frame({"d": [["a"]]}),
        frame({"d": [[1, 2]]}),
        frame({"z": 1}),
        frame([1]),
        frame({"l": [1], "t": [1]}),
        HEAD.pack(MAGIC, 5, 0) + b"[[[[[",
        HEAD.pack(MAGIC, 3, 0) + b"\xff\xfe\xfd",
        HEAD.pack(MAGIC, 100_000, 0) + b"[" * 100_000,
        HEAD.pack(MAGIC, 10_000, 0) + b"1" * 10_000,
    ],
)
def test_malformed_frames(data):
    with pytest.raises(WireError):
        decode(data)


@settings(max_examples=400, deadline=1000)
@given(st.binary(max_size=300))
def test_any_bytes(data):
    for candidate in (data, HEAD.pack(MAGIC, len(data), 0) + data):
        try:
            decode(candidate)
        except WireError:
            pass


TREES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**70), 2**70) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["x", "v", "t", "l", "d", "o", "y", "q"]), inner, max_size=2)
    ),
    max_leaves=20,
)


@settings(max_examples=400, deadline=1000)
@given(TREES, st.binary(max_size=40), st.booleans())
def test_any_skeleton(tree, body, request_):
    try:
        decode(frame(tree, body), request_)
    except WireError:
        pass


@settings(max_examples=300, deadline=1000)
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_a_frame_with_one_byte_changed(place, byte):
    good = bytearray(encode({"value": (torch.arange(6.0).reshape(2, 3), [1, "a"]), "id": 3}))
    good[place % len(good)] = byte
    try:
        decode(bytes(good))
    except WireError:
        pass
