"""What the graders of multi-head, grouped-query and multi-query attention share: parameters, plain numbers, rules.

A grader imports all of it, adds its own rules, and imports layer_numbers.py; its `family` says which layer it is.
Where a check names no sizes, they are all different, so that an axis that is taken for another shows.
"""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch

from grading.examination.checks import close, close_each, gradients, holds, numbers, parameters, shaped, typed
from katas.attention.oracle import attend, layer_weights, plain_weights

HALF = {torch.float16: 2e-2, torch.bfloat16: 1.5e-1, torch.float32: 2e-5, torch.float64: 5e-6}
BLOCKS = [(6, 2), (4, 3)]  # heads and their head_dim, where a rule is about the blocks of features


@dataclass(frozen=True)
class Family:
    """A layer with num_heads query heads; kv_heads 0 stands for as many key/value heads."""

    symbol: str
    kv_heads: int
    takes_kv_heads: bool = False

    def kv(self, num_heads):
        return self.kv_heads or num_heads

    def make(self, learner, d_model, num_heads, **options):
        """A layer of the learner's."""
        if self.takes_kv_heads:
            options = {"num_kv_heads": self.kv(num_heads), **options}
        return getattr(learner, self.symbol)(d_model=d_model, num_heads=num_heads, **options)

    def random(self, learner, draw, d_model=24, num_heads=6, bias=True, **options):
        """A layer in eval mode with random weights, and the weights."""
        weights = layer_weights(draw, d_model, num_heads, self.kv(num_heads), bias)
        return self.make(learner, d_model, num_heads, bias=bias, **options).set(weights), weights

    def plain(self, learner, d_model, num_heads, scales=(), training=False, dtype=torch.float64, **options):
        """A layer whose projections copy."""
        weights = plain_weights(d_model, num_heads, self.kv(num_heads), **dict(scales))
        weights = {name: weight.to(dtype) for name, weight in weights.items()}
        return self.make(learner, d_model, num_heads, **options).set(weights, dtype, training=training)


def inputs(draw, batch=3, length=5, keys=7, d_model=24):
    return draw(batch, length, d_model), draw(batch, keys, d_model), draw(batch, keys, d_model)


def named(*names):
    """How pytest calls the values of a parameter: "B=2, L=5"."""
    return lambda values: ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))


def short(dtype):
    return str(dtype).removeprefix("torch.")


def each(names, *values, ids):
    """Parametrise by all combinations of some values, and call them "float16, head_dim=128"."""
    combined = list(itertools.product(*values))
    return pytest.mark.parametrize(
        names, combined, ids=[", ".join(f(v) for f, v in zip(ids, c, strict=True)) for c in combined]
    )


def trains_through_a_cache(layer, weights, x, cache, cotangent, attend, names):
    """The gradients of x, of a cache of two tensors and of the parameters are right.

    Args:
        attend: (x, cache, weights) -> (output, cache), the right ones.
        names: of x and of the two.
    """
    asked = layer.backward(cotangent, x, cache) if cache else layer.backward(cotangent, x)
    leaves = [given.clone().requires_grad_() for given in (x, *(cache or ()))]
    own = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    output, _ = attend(leaves[0], tuple(leaves[1:]) or None, own)
    (output * cotangent).sum().backward()
    back = asked.wait()
    found = {**dict(zip(names, back.inputs, strict=False)), **back.parameters}
    wanted = {**dict(zip(names, leaves, strict=False)), **own}
    gradients(found, {name: leaf.grad for name, leaf in wanted.items()})


# ------------------------------------------------------------------------------- parameters, shape and dtype


MADE = {"bias": {"dropout": 0.0, "bias": True}, "no bias": {"dropout": 0.0, "bias": False}, "bias by default": {}}


@pytest.mark.parametrize("options", MADE.values(), ids=MADE)
def test_parameters(learner, draw, family, options):
    """the parameters are the weights and biases of q_proj, k_proj, v_proj and o_proj"""
    layer = family.make(learner, 24, 6, **options)
    wanted = layer_weights(draw, 24, 6, family.kv(6), options.get("bias", True))
    parameters(layer.parameters, {name: tuple(weight.shape) for name, weight in wanted.items()}, layer.made)


def test_order_of_the_arguments(learner, draw, family):
    """the arguments of the constructor come in the order of the contract"""
    kv_heads = (family.kv(6),) if family.takes_kv_heads else ()
    layer = getattr(learner, family.symbol)(24, 6, *kv_heads, 0.5, False)
    wanted = layer_weights(draw, 24, 6, family.kv(6), bias=False)
    parameters(layer.parameters, {name: tuple(weight.shape) for name, weight in wanted.items()}, layer.made)


@pytest.mark.parametrize("sizes", [(3, 5, 7), (1, 1, 4), (3, 4, 1), (2, 6, 6)], ids=named("B", "L", "S"))
def test_output_shape(learner, draw, family, sizes):
    """the output has the shape (B, L, D)"""
    batch, length, keys = sizes
    layer, _ = family.random(learner, draw)
    shaped(layer.ahead(*inputs(draw, batch, length, keys)), (batch, length, 24))


@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_output_dtype(learner, draw, family, dtype):
    """the output has the dtype of the inputs"""
    weights = {name: weight.to(dtype) for name, weight in layer_weights(draw, 24, 6, family.kv(6)).items()}
    layer = family.make(learner, 24, 6).set(weights, dtype)
    typed(layer.ahead(*(x.to(dtype) for x in inputs(draw))), dtype)


def test_a_new_layer_works_in_float32(learner, draw, family):
    """a layer as it is made works in float32, PyTorch's default"""
    layer = family.make(learner, 24, 6)
    typed(layer.ahead(*(x.float() for x in inputs(draw))), torch.float32)


# ------------------------------------------------------------------------------- numbers, without a mask


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_numbers(learner, draw, family, bias):
    """without a mask the numbers are PyTorch's, with copied weights"""
    layer, weights = family.random(learner, draw, 48, 6, bias)
    given = inputs(draw, 4, 5, 7, 48)
    close(layer.ahead(*given), attend(*given, weights, 6))


def test_numbers_of_colliding_sizes(learner, draw, family):
    """without a mask the numbers are PyTorch's where sizes coincide"""
    layer, weights = family.random(learner, draw)
    # the layer has 6 heads of 4 features
    sizes = [(2, 5, 5), (5, 5, 7), (6, 5, 7), (3, 6, 7), (3, 5, 6), (6, 6, 6), (4, 4, 4)]
    sizes += [(1, 5, 7), (3, 1, 7), (3, 5, 1), (1, 1, 1), (24, 2, 3)]
    calls = [inputs(draw, *each) for each in sizes]
    names = [f"the output for B={b}, L={n}, S={s}" for b, n, s in sizes]
    close_each(layer.several(*calls), [attend(*call, weights, 6) for call in calls], names)


@pytest.mark.parametrize("sizes", [(18, 36), (2, 16), (6, 6), (8, 64), (2, 144)], ids=named("H", "D"))
def test_numbers_of_other_layers(learner, draw, family, sizes):
    """without a mask the numbers are PyTorch's for other numbers of heads and features"""
    heads, d_model = sizes
    layer, weights = family.random(learner, draw, d_model, heads)
    given = inputs(draw, 3, 5, 7, d_model)
    close(layer.ahead(*given), attend(*given, weights, heads))


def test_self_attention(learner, draw, family):
    """query, key and value may be one tensor"""
    layer, weights = family.random(learner, draw)
    for length in (1, 3, 4, 5, 8):
        x, other = draw(2, length, 24), draw(2, length, 24)
        for given in ((x, x, x), (x, x, other), (x, other, x), (other, x, x))[: 4 if length == 5 else 1]:
            close(layer.ahead(*given), attend(*given, weights, 6))


# ------------------------------------------------------------------------------------------------ rules


@pytest.mark.parametrize("sizes", BLOCKS, ids=named("H", "E"))
def test_heads_are_joined_in_order(learner, draw, family, sizes):
    """the heads are joined position by position, in order"""
    # one key, so every head returns its value head's part of it, at every position
    heads, head_dim = sizes
    kv, d_model = family.kv(heads), heads * head_dim
    layer = family.plain(learner, d_model, heads)
    value = torch.zeros(1, 1, d_model, dtype=torch.float64)
    value[..., : kv * head_dim] = torch.arange(kv).repeat_interleave(head_dim)
    out = layer(draw(1, 5, d_model), draw(1, 1, d_model), value)
    shaped(out, (1, 5, d_model))
    # features of one position, sorted within a head's block: which value head a query head reads is another rule
    wanted = torch.arange(kv).repeat_interleave(heads // kv).repeat_interleave(head_dim).double()
    numbers(
        sorted(out[0, 1].tolist()),
        wanted.tolist(),
        "features of position 1",
        "the output of a position is not its heads, one after the other",
    )
    blocks = out.unflatten(-1, (heads, head_dim))
    holds(
        bool((blocks - blocks[..., :1]).abs().max() < 1e-5),
        "a head's features are not neighbours in the output",
        str(wanted.tolist()),
        str(out[0, 1].tolist()),
    )


@pytest.mark.parametrize("sizes", BLOCKS, ids=named("H", "E"))
def test_positions_are_not_mixed_with_features(learner, draw, family, sizes):
    """splitting into heads leaves positions and features apart"""
    # zero scores: every output is the mean over positions; feature f of each value is f, plus 10 or -10
    heads, head_dim = sizes
    kv, d_model = family.kv(heads), heads * head_dim
    layer = family.plain(learner, d_model, heads, {"q_proj": 0.0})
    features = torch.arange(d_model).double()
    value = torch.stack([features - 10, features, features + 10])[None]
    out = layer(draw(1, 5, d_model), draw(1, 3, d_model), value)
    shaped(out, (1, 5, d_model))
    wanted = features[: kv * head_dim].unflatten(0, (kv, head_dim)).repeat_interleave(heads // kv, 0).flatten()
    numbers(
        sorted(out[0, 0].tolist()),
        sorted(wanted.tolist()),
        "the mean over positions, by feature",
        "the output is not the mean over positions, feature by feature",
    )


def test_scale_is_the_root_of_head_dim(learner, family):
    """the scores are scaled by 1/sqrt(head_dim)"""
    # scaled, the two scores of each head are ln 3 apart, so that the weights are 1/4 and 3/4
    found = []
    for head_dim in (4, 9, 16):
        d_model = 6 * head_dim
        layer = family.plain(learner, d_model, 6)
        value = torch.stack([torch.zeros(d_model), torch.ones(d_model)])[None].double()
        key = (value - 0.5) * math.log(3) / math.sqrt(head_dim)
        out = layer(torch.ones(1, 1, d_model).double(), key, value)
        shaped(out, (1, 1, d_model))
        found.append(out[0, 0, ::head_dim])
    holds(
        all(bool((each - each[0]).abs().max() < 1e-5) for each in found),
        "heads with the same scores have other weights",
        "the same output from each head",
        "other numbers",
    )
    numbers(
        [each[0].item() for each in found],
        [0.75] * 3,
        "the larger of two weights, with head_dim 4, 9 and 16",
        "these are not the weights of scores times 1/sqrt(head_dim)",
    )


def test_values_go_through_their_projections(learner, family):
    """values go through v_proj and o_proj, with their biases"""
    weights = plain_weights(4, 2, family.kv(2), q_proj=5.0, k_proj=7.0, v_proj=2.0, o_proj=3.0)
    weights["v_proj.bias"] += 1.0
    weights["o_proj.bias"] += torch.tensor([0.0, 10.0, 20.0, 30.0])
    layer = family.make(learner, 4, 2).set(weights)
    out = layer(
        torch.full((1, 1, 4), 11.0).double(), torch.full((1, 1, 4), 13.0).double(), torch.ones(1, 1, 4).double()
    )
    shaped(out, (1, 1, 4))
    numbers(
        out[0, 0].tolist(),
        [9, 19, 29, 39],
        "3 (2 x 1 + 1) + bias",
        "the output for one key is not o_proj(v_proj(value))",
    )
