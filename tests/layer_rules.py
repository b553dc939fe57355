"""The rules that multi-head, grouped-query and multi-query attention share, for their graders to import.

A grader defines the fixture `family`: which layer, and how many key/value heads it has.
"""

import math
from dataclasses import dataclass

import pytest
import torch

from grading.diagnosis.compare import close, holds, numbers, raises, shaped, typed
from grading.diagnosis.oracle import attend, layer_weights, plain_weights

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
    layer = family.make(learner, 24, 6, bias=bias)
    weights = layer_weights(draw, 24, 6, family.kv(6), bias)
    wanted = {name: tuple(weight.shape) for name, weight in weights.items()}
    odd = {
        name for name in wanted.keys() | layer.parameters.keys() if wanted.get(name) != layer.parameters.get(name)
    }
    show = [
        ", ".join(f"{n} {shapes[n]}" for n in sorted(odd) if n in shapes) for shapes in (wanted, layer.parameters)
    ]
    holds(
        not odd,
        f"the parameters of {layer.made} are not the contract's",
        show[0] or "no others",
        show[1] or "none of these",
    )


@pytest.mark.parametrize("sizes", [(10, 3), (24, 5), (6, 4)], ids=str)
def test_d_model_must_be_divisible(learner, family, sizes):
    """ValueError when num_heads does not divide d_model"""
    d_model, num_heads = sizes
    given = Family(family.symbol, 1, family.takes_kv_heads)
    raises(
        "ValueError",
        lambda: given.make(learner, d_model, num_heads),
        f"{family.symbol}(d_model={d_model}, num_heads={num_heads})",
    )


# ------------------------------------------------------------------------------------------------ rules


@pytest.mark.parametrize("sizes", [(2, 5, 7), (1, 1, 4), (3, 4, 1), (2, 6, 6)], ids=str)
def test_output_shape(learner, draw, family, sizes):
    """the output has the shape (B, L, D)"""
    batch, length, keys = sizes
    layer, _ = family.random(learner, draw, 24, 6)
    shaped(layer(*inputs(draw, batch, length, keys)), (batch, length, 24))


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
        "a position's output is not made of its own heads",
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
        "positions and features are mixed up",
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
        "the scores are not scaled by 1/sqrt(head_dim)",
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
        "a single value does not go through v_proj and o_proj",
    )


@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 7), (2, 1, 5, 7), (2, 6, 5, 7)], ids=str)
def test_masks(learner, draw, family, shape):
    """a mask may be (L, S), (B, L, S), (B, 1, L, S) or (B, H, L, S)"""
    layer, weights = family.random(learner, draw, 24, 6)
    query, key, value = inputs(draw)
    mask = draw.mask(*shape)
    close(layer(query, key, value, mask), attend(query, key, value, weights, 6, mask))


@pytest.mark.parametrize(
    "sizes",
    # batch, L, S, H: L = H, B = L, B = H, B = 1, S = L, S = H, all the same
    [
        (2, 6, 7, 6),
        (5, 5, 7, 6),
        (6, 5, 7, 6),
        (1, 5, 7, 6),
        (2, 5, 5, 6),
        (2, 5, 6, 6),
        (6, 6, 6, 6),
        (1, 6, 6, 6),
    ],
    ids=str,
)
def test_masks_of_colliding_sizes(learner, draw, family, sizes):
    """masks are told apart by their dimensions when sizes coincide"""
    batch, length, keys, heads = sizes
    layer, weights = family.random(learner, draw, 24, heads)
    query, key, value = inputs(draw, batch, length, keys)
    for shape in [(length, keys), (batch, length, keys), (batch, 1, length, keys), (batch, heads, length, keys)]:
        mask = draw.mask(*shape)
        close(
            layer(query, key, value, mask),
            attend(query, key, value, weights, heads, mask),
            f"the output with a mask {shape}",
        )


def test_a_query_without_keys_gets_the_bias(learner, draw, family):
    """a query that may attend to nothing gets o_proj's bias"""
    layer, weights = family.random(learner, draw, 24, 6)
    query, key, value = inputs(draw)
    mask = draw.mask(2, 5, 7)
    mask[0, 2], mask[1, 4] = False, False
    out = layer(query, key, value, mask)
    shaped(out, (2, 5, 24))
    holds(not out.isnan().any(), "NaN where a query may attend to nothing", "o_proj's bias", "NaN")
    close(out[0, 2], weights["o_proj.bias"], "the row of a query that may attend to nothing")
    close(out, attend(query, key, value, weights, 6, mask))


def test_one_head_without_keys(learner, draw, family):
    """a head whose query may attend to nothing contributes zeros"""
    layer, weights = family.random(learner, draw, 24, 6)
    query, key, value = inputs(draw)
    mask = draw.mask(2, 6, 5, 7)
    mask[1, 3, 2] = False
    close(layer(query, key, value, mask), attend(query, key, value, weights, 6, mask))


# ---------------------------------------------------------------------------------------------- dropout


def test_no_dropout_in_eval(learner, draw, family):
    """no dropout in eval mode"""
    layer, weights = family.random(learner, draw, 24, 6, dropout=0.9)
    query, key, value = inputs(draw)
    close(layer(query, key, value), attend(query, key, value, weights, 6))


def test_dropout_of_everything(learner, draw, family):
    """with dropout=1 a training pass leaves o_proj's bias"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    layer = family.make(learner, 24, 6, dropout=1.0).set(weights, training=True)
    out = layer(*inputs(draw))
    shaped(out, (2, 5, 24))
    close(out, weights["o_proj.bias"].expand(2, 5, 24))


@pytest.mark.parametrize("p", [0.25, 0.5])
def test_dropout_acts_on_the_weights(learner, draw, family, p):
    """dropout drops attention weights and scales the others by 1/(1-p)"""
    # head_dim = 2 S and values [I I]: each head's output is its weights, twice
    keys, heads, length = 4, 4, 30
    layer = family.plain(learner, heads * 2 * keys, heads, {"q_proj": 0.0}, training=True, dropout=p)
    value = torch.eye(keys).repeat(1, 2 * heads)[None].double()
    out = layer(draw(2, length, 32), draw(2, keys, 32), value.expand(2, -1, -1))
    shaped(out, (2, length, 32))
    first, second = out.unflatten(-1, (heads, 2, keys)).unbind(-2)
    kept = 0.25 / (1 - p)
    holds(
        bool(torch.equal(first, second)),
        "dropout acts on something else than the attention weights",
        "a dropped weight is dropped for all features of its value",
        "the same weight is dropped for one feature and kept for another",
    )
    strays = first[(first != 0) & ((first - kept).abs() > 1e-9)]
    holds(
        not len(strays),
        "weights that were kept are not scaled by 1/(1-p)",
        f"0 or {kept:.4g} for a weight of 0.25 and p={p}",
        f"{strays[0] if len(strays) else 0:.4g}",
    )
    dropped, count = float((first == 0).double().mean()), first.numel()
    margin = 5 * math.sqrt(p * (1 - p) / count)
    holds(
        abs(dropped - p) < margin,
        "the share of dropped weights is wrong",
        f"about {p}",
        f"{dropped:.3f} of {count}",
    )


def test_dropout_differs_between_weights(learner, draw, family):
    """each weight is dropped for itself: by batch, head, query and key"""
    keys, heads, length = 4, 4, 30
    layer = family.plain(learner, heads * 2 * keys, heads, {"q_proj": 0.0}, training=True, dropout=0.5)
    value = torch.eye(keys).repeat(1, 2 * heads)[None].double()
    out = layer(draw(2, length, 32), draw(2, keys, 32), value.expand(2, -1, -1))
    shaped(out, (2, length, 32))
    dropped = out.unflatten(-1, (heads, 2, keys))[..., 0, :] == 0
    for axis, name in enumerate(("sequences", "queries", "heads", "keys")):
        shared = (dropped == dropped.narrow(axis, 0, 1)).all()
        holds(not shared, f"all {name} drop the same weights")


# ------------------------------------------------------------------------------------- dtype, gradients, use


@pytest.mark.parametrize("dtype", HALF, ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_dtype_is_kept(learner, draw, family, dtype):
    """the dtype is kept, with a mask and an empty row too"""
    weights = {name: weight.to(dtype) for name, weight in layer_weights(draw, 24, 6, family.kv(6)).items()}
    layer = family.make(learner, 24, 6).set(weights, dtype)
    query, key, value = (x.to(dtype) for x in inputs(draw))
    mask = draw.mask(2, 5, 7)
    mask[0, 2] = False
    exact = {name: weight.double() for name, weight in weights.items()}
    for given in (None, mask):
        out = layer(query, key, value, given)
        shaped(out, (2, 5, 24))
        typed(out, dtype)
        wanted = attend(query.double(), key.double(), value.double(), exact, 6, given)
        close(out, wanted.to(dtype), tolerance=HALF[dtype])


def test_large_scores_are_safe(learner, draw, family):
    """scores of 1e4 are safe"""
    layer, weights = family.random(learner, draw, 24, 6)
    query, key, value = inputs(draw)
    mask = draw.mask(5, 7)
    for scale in (100.0, -100.0):
        for given in (None, mask):
            out = layer(query * scale, key * 100.0, value, given)
            close(out, attend(query * scale, key * 100.0, value, weights, 6, given))


@pytest.mark.parametrize("kind", ["no mask", "mask", "empty row"])
def test_gradients(learner, draw, family, kind):
    """gradients of inputs and parameters are right"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    layer = family.make(learner, 24, 6).set(weights)
    given, cotangent = inputs(draw), draw(2, 5, 24)
    mask = None if kind == "no mask" else draw.mask(2, 5, 7)
    if kind == "empty row":
        mask[0, 2] = False
    back = layer.backward(cotangent, *given, mask)
    leaves = [x.clone().requires_grad_() for x in given]
    parameters = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    (attend(*leaves, parameters, 6, mask) * cotangent).sum().backward()
    pairs = dict(zip(("query", "key", "value"), zip(back.inputs, leaves, strict=True), strict=True))
    pairs |= {name: (back.parameters.get(name), leaf) for name, leaf in parameters.items()}
    for name, (got, leaf) in pairs.items():
        holds(got is not None, f"no gradient reaches {name}")
        close(got, leaf.grad.nan_to_num(), f"the gradient of {name}", tolerance=1e-8)


def test_inputs_are_not_modified(learner, draw, family):
    """the inputs are not modified"""
    layer, _ = family.random(learner, draw, 24, 6)
    for shape in [(5, 7), (2, 5, 7), (2, 1, 5, 7)]:
        given = [*inputs(draw), draw.mask(*shape)]
        given[3][..., 2, :] = False
        _, after, _ = layer.echo(*given)
        for name, was, now in zip(("query", "key", "value", "mask"), given, after, strict=True):
            holds(torch.equal(was, now) and was.dtype == now.dtype, f"{name} was modified in place")


def test_strides_do_not_matter(learner, draw, family):
    """transposed and expanded inputs are taken as they are"""
    layer, weights = family.random(learner, draw, 24, 6)
    query, key = draw(5, 2, 24).transpose(0, 1), draw(2, 24, 7).transpose(1, 2)
    value = draw(1, 1, 24).expand(2, 7, 24)
    for mask in (None, draw.mask(7, 5).T, draw.mask(2, 1, 7).expand(2, 5, 7)):
        wanted = attend(query.contiguous(), key.contiguous(), value.contiguous(), weights, 6, mask).nan_to_num()
        close(layer(query, key, value, mask), wanted)


@pytest.mark.parametrize("sizes", [(2, 5, 7, 6, 24), (3, 1, 4, 2, 16), (1, 4, 1, 4, 8), (2, 3, 3, 6, 6)], ids=str)
def test_equals_pytorch(learner, draw, family, sizes):
    """the numbers are PyTorch's, with copied weights"""
    batch, length, keys, heads, d_model = sizes
    for bias in (True, False):
        layer, weights = family.random(learner, draw, d_model, heads, bias)
        for mask in (None, draw.mask(length, keys)):
            given = inputs(draw, batch, length, keys, d_model)
            close(layer(*given, mask), attend(*given, weights, heads, mask))


def test_self_attention(learner, draw, family):
    """self-attention: query, key and value may be one tensor"""
    layer, weights = family.random(learner, draw, 24, 6)
    x = draw(2, 5, 24)
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    close(layer(x, x, x, mask), attend(x, x, x, weights, 6, mask))


def test_a_layer_is_used_again(learner, draw, family):
    """a layer has no memory: sizes and masks may change from call to call"""
    layer, weights = family.random(learner, draw, 24, 6)
    for batch, length, keys in [(2, 5, 7), (3, 2, 4), (2, 5, 7), (1, 7, 3), (2, 5, 7), (2, 5, 7)]:
        given = inputs(draw, batch, length, keys)
        for mask in (draw.mask(length, keys), None):
            close(layer(*given, mask), attend(*given, weights, 6, mask))


def test_mask_by_keyword(learner, draw, family):
    """the arguments of forward are named query, key, value and mask"""
    layer, weights = family.random(learner, draw, 24, 6)
    query, key, value = inputs(draw)
    mask = draw.mask(5, 7)
    close(layer(query=query, key=key, value=value, mask=mask), attend(query, key, value, weights, 6, mask))
