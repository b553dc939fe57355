"""Rules that multi-head, grouped-query and multi-query attention share: construction, shapes, single rules.

Their graders import all of it, and then layer_numbers.py; the fixture `family` says which layer it is.
"""

import math
from dataclasses import dataclass

import pytest
import torch

from grading.examination.checks import holds, numbers, parameters, raises, shaped, typed
from katas.attention.oracle import layer_weights, plain_weights

HALF = {torch.float16: 2e-2, torch.bfloat16: 1.5e-1, torch.float32: 2e-5, torch.float64: 1e-12}


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

    def random(self, learner, draw, d_model, num_heads, bias=True, **options):
        """A layer in eval mode with random weights, and the weights."""
        weights = layer_weights(draw, d_model, num_heads, self.kv(num_heads), bias)
        return self.make(learner, d_model, num_heads, bias=bias, **options).set(weights), weights

    def plain(self, learner, d_model, num_heads, scales=(), training=False, **options):
        """A layer whose projections copy."""
        weights = plain_weights(d_model, num_heads, self.kv(num_heads), **dict(scales))
        return self.make(learner, d_model, num_heads, **options).set(weights, training=training)


def inputs(draw, batch=2, length=5, keys=7, d_model=24):
    return draw(batch, length, d_model), draw(batch, keys, d_model), draw(batch, keys, d_model)


# ------------------------------------------------------------------------------------------ construction


@pytest.mark.parametrize("bias", [True, False])
def test_parameters(learner, draw, family, bias):
    """the layers are q_proj, k_proj, v_proj, o_proj, with the contract's shapes"""
    kv_heads = (family.kv(6),) if family.takes_kv_heads else ()
    layer = getattr(learner, family.symbol)(24, 6, *kv_heads, 0.0, bias)  # the arguments in their order
    weights = layer_weights(draw, 24, 6, family.kv(6), bias)
    wanted = {name: tuple(weight.shape) for name, weight in weights.items()}
    parameters(layer.parameters, wanted, layer.made)
    out = layer.ahead(*(x.float() for x in inputs(draw)))
    shaped(out, (2, 5, 24))
    typed(out, torch.float32)


@pytest.mark.parametrize("sizes", [(10, 3), (24, 5), (6, 4), (4, 8)], ids=str)
def test_d_model_must_be_divisible(learner, family, sizes):
    """ValueError when num_heads does not divide d_model"""
    d_model, num_heads = sizes
    given = Family(family.symbol, 1, family.takes_kv_heads)
    raises(
        "ValueError",
        lambda: given.make(learner, d_model, num_heads).parameters,
        f"{family.symbol}(d_model={d_model}, num_heads={num_heads})",
    )


# ------------------------------------------------------------------------------------------------ rules


@pytest.mark.parametrize("sizes", [(2, 5, 7), (1, 1, 4), (3, 4, 1), (2, 6, 6)], ids=str)
def test_output_shape(learner, draw, family, sizes):
    """the output has the shape (B, L, D)"""
    batch, length, keys = sizes
    layer, _ = family.random(learner, draw, 24, 6)
    shaped(layer.ahead(*inputs(draw, batch, length, keys)), (batch, length, 24))


def test_heads_are_joined_in_order(learner, draw, family):
    """the heads are joined position by position, in order"""
    # one key, so every head returns its value head's part of it, at every position
    heads, head_dim, kv = 6, 2, family.kv(6)
    layer = family.plain(learner, heads * head_dim, heads)
    value = torch.zeros(1, 1, heads * head_dim, dtype=torch.float64)
    value[..., : kv * head_dim] = torch.arange(kv).repeat_interleave(head_dim)
    out = layer(draw(1, 3, heads * head_dim), draw(1, 1, heads * head_dim), value)
    shaped(out, (1, 3, heads * head_dim))
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
        bool((blocks == blocks[..., :1]).all()),
        "a head's features are not neighbours in the output",
        str(wanted.tolist()),
        str(out[0, 1].tolist()),
    )


def test_positions_are_not_mixed_with_features(learner, draw, family):
    """splitting into heads leaves positions and features apart"""
    # zero scores: every output is the mean over positions; feature f of each value is f, plus 10 or -10
    heads, head_dim, kv = 6, 2, family.kv(6)
    layer = family.plain(learner, heads * head_dim, heads, {"q_proj": 0.0})
    features = torch.arange(heads * head_dim).double()
    value = torch.stack([features - 10, features, features + 10])[None]
    out = layer(draw(1, 4, heads * head_dim), draw(1, 3, heads * head_dim), value)
    shaped(out, (1, 4, heads * head_dim))
    wanted = features[: kv * head_dim].unflatten(0, (kv, head_dim)).repeat_interleave(heads // kv, 0).flatten()
    numbers(
        sorted(out[0, 0].tolist()),
        sorted(wanted.tolist()),
        "the mean over positions, by feature",
        "the output is not the mean over positions, feature by feature",
    )


def test_scale_is_the_root_of_head_dim(learner, family):
    """the scores are scaled by 1/sqrt(head_dim)"""
    # head_dim = 4 and each head's product is 2 ln 3: scaled by 1/2, the weights are 1/4 and 3/4
    layer = family.plain(learner, 24, 6)
    query = torch.ones(1, 1, 24).double()
    key = torch.stack([torch.zeros(24), torch.full((24,), math.log(3) / 2)])[None].double()
    value = torch.stack([torch.zeros(24), torch.ones(24)])[None].double()
    out = layer(query, key, value)
    shaped(out, (1, 1, 24))
    numbers(
        out[0, 0, ::4].tolist(),
        [0.75] * 6,
        "the larger weight in each head",
        "these are not the weights of scores times 1/sqrt(head_dim)",
    )


def test_each_input_has_its_own_projection(learner, family):
    """values go through v_proj and o_proj, with their biases"""
    kv = family.kv(2)
    weights = plain_weights(4, 2, kv, q_proj=5.0, k_proj=7.0, v_proj=2.0, o_proj=3.0)
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
