"""What the graders of the three layers share beyond single rules: masks, half precision, dropout, gradients, use."""

import math

import pytest
import torch

from grading.examination.checks import (
    apart,
    close,
    close_each,
    gradients,
    holds,
    numbers,
    precise,
    raises,
    reached,
    shaped,
)
from katas.attention.layer_rules import HALF, Family, each, inputs, named, short
from katas.attention.oracle import attend, layer_weights, project, split

KINDS = ["(L, S)", "(B, L, S)", "(B, 1, L, S)", "(B, H, L, S)"]
HALVES = [torch.float16, torch.bfloat16]


def mask_shape(kind, batch, length, keys, heads):
    return {
        "(L, S)": (length, keys),
        "(B, L, S)": (batch, length, keys),
        "(B, 1, L, S)": (batch, 1, length, keys),
        "(B, H, L, S)": (batch, heads, length, keys),
    }[kind]


def mask_shapes(batch, length, keys, heads):
    """The shapes that a mask may have."""
    return [mask_shape(kind, batch, length, keys, heads) for kind in KINDS]


def with_masks(layer, given, weights, heads, masks):
    """The output is right with each of these masks."""
    wanted = [attend(*given, weights, heads, mask) for mask in masks]
    names = [f"the output with a mask {tuple(mask.shape)}" if mask is not None else "the output" for mask in masks]
    close_each(layer.several(*((*given, mask) for mask in masks)), wanted, names)


# ------------------------------------------------------------------------------------------------ masks


def test_true_means_may_attend(learner, draw, family):
    """True in a mask means may attend"""
    # zero scores: every output is the mean of the values that the mask allows
    layer = family.plain(learner, 24, 6)
    value = torch.tensor([1.0, 2.0, 4.0, 8.0]).double()[None, :, None].expand(1, 4, 24)
    mask = torch.tensor([[True, True, False, False], [False, False, True, False], [True, False, False, True]])
    out = layer(torch.zeros(1, 3, 24).double(), draw(1, 4, 24), value, mask)
    shaped(out, (1, 3, 24))
    numbers(
        out[0, :, 0].tolist(),
        [1.5, 4, 4.5],
        "means of the values allowed to each query",
        "the output is not the mean of the values that the mask allows",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_masks(learner, draw, family, kind):
    """the numbers are right with a mask"""
    layer, weights = family.random(learner, draw)
    query, key, value = inputs(draw)
    mask = draw.mask(*mask_shape(kind, 3, 5, 7, 6))
    close(layer.ahead(query, key, value, mask), attend(query, key, value, weights, 6, mask))


@pytest.mark.parametrize("kind", KINDS)
def test_masks_with_a_full_row(learner, draw, family, kind):
    """a mask may allow everything to one query"""
    layer, weights = family.random(learner, draw)
    query, key, value = inputs(draw)
    mask = draw.mask(*mask_shape(kind, 3, 5, 7, 6))
    mask[..., 1, :] = True
    with_masks(layer, (query, key, value), weights, 6, [mask, torch.ones_like(mask)])


# B = L, B = H, B = 1, B = S, L = S, L = H, S = H, all the same; L = 1, S = 1, all but the heads 1
COLLISIONS = [(5, 5, 7), (6, 5, 7), (1, 5, 7), (7, 5, 7), (2, 5, 5), (2, 6, 7), (2, 5, 6), (6, 6, 6)]
COLLISIONS += [(1, 6, 6), (2, 1, 7), (1, 1, 7), (2, 5, 1), (1, 1, 1)]


@pytest.mark.parametrize("sizes", COLLISIONS, ids=named("B", "L", "S"))
def test_masks_of_colliding_sizes(learner, draw, family, sizes):
    """masks are told apart by their dimensions where sizes coincide"""
    layer, weights = family.random(learner, draw)  # the layer has 6 heads
    masks = [draw.mask(*shape) for shape in mask_shapes(*sizes, 6)]
    with_masks(layer, inputs(draw, *sizes), weights, 6, masks)


def test_masks_with_other_numbers_of_heads(learner, draw, family):
    """masks with one head, or as few as there can be, and with others"""
    for times in (1, 2, 3, 4, 5, 8):
        heads = times * max(family.kv_heads, 1)
        layer, weights = family.random(learner, draw, 4 * heads, heads)
        masks = [draw.mask(*shape) for shape in mask_shapes(3, 5, 7, heads)]
        with_masks(layer, inputs(draw, d_model=4 * heads), weights, heads, masks)


def test_rows_of_zeros_are_no_mask(learner, draw, family):
    """a score of 0 is a score: tokens of zeros count where the mask allows them"""
    layer, weights = family.random(learner, draw, bias=False)
    query, key, value = inputs(draw)
    query[:, 2], key[:, 4:], value[:, 5:] = 0.0, 0.0, 0.0
    mask = draw.mask(3, 5, 7)
    mask[:, :, 4], mask[:, 0] = True, True
    with_masks(layer, (query, key, value), weights, 6, [None, mask, mask[0], mask[:, None]])


def test_masked_keys_have_no_influence(learner, draw, family):
    """a key that may not be seen has no influence"""
    layer, weights = family.random(learner, draw)
    query, key, value = inputs(draw)
    mask = draw.mask(5, 7)
    mask[:, 3:5] = False
    wanted = attend(query, key, value, weights, 6, mask)
    key[:, 3:5], value[:, 3:5] = 50.0, 1e6
    close(layer.ahead(query, key, value, mask), wanted, "the output with other numbers in the masked keys and values")


# ------------------------------------------------------------------------------------------- empty rows


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_without_keys_gets_the_bias(learner, draw, family, kind):
    """a query that may attend to nothing gets o_proj's bias"""
    layer, weights = family.random(learner, draw)
    query, key, value = inputs(draw)
    mask = draw.mask(*mask_shape(kind, 3, 5, 7, 6))
    mask[..., 2, :] = False
    out = layer(query, key, value, mask)
    shaped(out, (3, 5, 24))
    holds(not out.isnan().any(), "NaN where a query may attend to nothing", "o_proj's bias", "NaN")
    close(out[0, 2], weights["o_proj.bias"], "the row of a query that may attend to nothing")
    close(out, attend(query, key, value, weights, 6, mask))


def test_without_biases_it_gets_zeros(learner, draw, family):
    """without biases, a query that may attend to nothing gets zeros"""
    layer, weights = family.random(learner, draw, bias=False)
    mask = draw.mask(3, 5, 7)
    mask[0, 2], mask[1, 4] = False, False
    with_masks(layer, inputs(draw), weights, 6, [mask, mask[0]])


@pytest.mark.parametrize("sizes", [(2, 3, 4), (2, 1, 5), (2, 3, 1), (1, 1, 1)], ids=named("B", "L", "S"))
def test_nothing_allowed_at_all(learner, draw, family, sizes):
    """a mask that allows nothing leaves o_proj's bias"""
    layer, weights = family.random(learner, draw)
    given, shapes = inputs(draw, *sizes), mask_shapes(*sizes, 6)
    calls = [(*given, torch.zeros(shape, dtype=torch.bool)) for shape in shapes]
    wanted = [weights["o_proj.bias"].expand(*sizes[:2], 24)] * len(shapes)
    close_each(layer.several(*calls), wanted, [f"the output with a mask {shape}" for shape in shapes])


def test_one_head_without_keys(learner, draw, family):
    """a head whose query may attend to nothing contributes zeros"""
    layer, weights = family.random(learner, draw)
    query, key, value = inputs(draw)
    mask = draw.mask(3, 6, 5, 7)
    mask[1, 3, 2] = False
    close(layer.ahead(query, key, value, mask), attend(query, key, value, weights, 6, mask))


# --------------------------------------------------------------------------------- half precision, large scores


def in_dtype(learner, draw, family, dtype, mask):
    """The numbers are right, as far as the dtype goes."""
    weights = {name: weight.to(dtype) for name, weight in layer_weights(draw, 24, 6, family.kv(6)).items()}
    layer = family.make(learner, 24, 6).set(weights, dtype)
    query, key, value = (x.to(dtype) for x in inputs(draw))
    exact = {name: weight.double() for name, weight in weights.items()}
    out, wanted = (
        layer.ahead(query, key, value, mask),
        attend(query.double(), key.double(), value.double(), exact, 6, mask),
    )
    close(out, wanted.to(dtype), tolerance=HALF[dtype])


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_numbers_in_each_dtype(learner, draw, family, dtype):
    """the numbers are right in float16, bfloat16 and float32"""
    in_dtype(learner, draw, family, dtype, None)


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_masks_in_each_dtype(learner, draw, family, dtype):
    """the numbers are right with a mask in float16, bfloat16 and float32"""
    in_dtype(learner, draw, family, dtype, draw.mask(3, 5, 7))


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_empty_rows_in_each_dtype(learner, draw, family, dtype):
    """a query that may attend to nothing gets o_proj's bias in float16, bfloat16 and float32"""
    mask = draw.mask(3, 5, 7)
    mask[0, 2], mask[1, 4] = False, False
    in_dtype(learner, draw, family, dtype, mask)


LARGE = [*((dtype, 4) for dtype in HALF), *((dtype, 64) for dtype in HALVES)]


@pytest.mark.parametrize(("dtype", "head_dim"), LARGE, ids=[f"{short(d)}, head_dim={e}" for d, e in LARGE])
def test_large_scores_are_safe(learner, family, dtype, head_dim):
    """scores of 1e4 are safe"""
    # with a head_dim of 64 the products pass 65504, float16's largest number; scaled, they are near 1e4
    layer = family.plain(learner, 2 * head_dim, 2, dtype=dtype)
    top = round(math.sqrt(1.4e4 / math.sqrt(head_dim)))
    shift = torch.tensor([0.0, -1.0, -2.0, 1.0])
    key = (top + shift).to(dtype)[None, :, None].expand(1, 4, 2 * head_dim)
    value = (shift + 3.0).to(dtype)[None, :, None].expand(1, 4, 2 * head_dim)
    # a masked key may have the largest score, and all that may be seen be below -1e4
    cases = [(1, None, 4), (-1, None, 1), (1, [True, True, True, False], 3), (-1, [True, True, False, True], 2)]
    masks = [None if mask is None else torch.tensor([mask, mask]) for _, mask, _ in cases]
    calls = [
        (torch.full((1, 2, 2 * head_dim), float(top * sign), dtype=dtype), key, value, mask)
        for (sign, _, _), mask in zip(cases, masks, strict=True)
    ]
    wanted = [torch.full((1, 2, 2 * head_dim), float(right), dtype=dtype) for _, _, right in cases]
    names = [f"the output for scores near {'-' * (sign < 0)}1e4" for sign, _, _ in cases]
    close_each(layer.several(*calls), wanted, names, HALF[dtype])


def test_large_random_scores_are_safe(learner, draw, family):
    """scores of 1e4 are safe where a query sees a single key, or few"""
    layer, weights = family.random(learner, draw, bias=False)
    query, key, value = inputs(draw)
    queries, keys = split(project(query, weights, "q_proj"), 4), split(project(key, weights, "k_proj"), 4)
    scores = queries @ keys.repeat_interleave(6 // keys.size(1), dim=1).transpose(-2, -1) / 2
    factor = (1.4e4 / scores.abs().max()).sqrt()
    single = torch.eye(5, 7, dtype=torch.bool)  # the only key of a row may have a score below -1e4
    calls = [
        (query * sign, key * factor, value, mask)
        for sign in (factor, -factor)
        for mask in (None, draw.mask(5, 7), single)
    ]
    # at scores of 1e4, float32 is off by a thousandth
    close_each(layer.several(*calls), [attend(*given, weights, 6, mask) for *given, mask in calls], tolerance=1e-2)


# ---------------------------------------------------------------------------------------------- dropout


def test_no_dropout_in_eval(learner, draw, family):
    """there is no dropout in evaluation mode"""
    layer, weights = family.random(learner, draw, dropout=0.9)
    given = inputs(draw)
    for grad in (False, True):  # the mode counts, and not whether gradients are recorded
        layer.set(weights, grad=grad)
        with_masks(layer, given, weights, 6, [None, None, draw.mask(3, 5, 7)])  # twice, to see whether they differ


def test_no_dropout_unless_asked_for(learner, draw, family):
    """there is no dropout in training unless it is asked for"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    layer = family.make(learner, 24, 6).set(weights, training=True)
    masks = [None, *(draw.mask(*shape) for shape in mask_shapes(3, 5, 7, 6))]
    with_masks(layer, inputs(draw), weights, 6, masks)


def test_training_with_empty_rows(learner, draw, family):
    """in training a query that may attend to nothing gets o_proj's bias"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    layer = family.make(learner, 24, 6).set(weights, training=True)
    mask = draw.mask(3, 5, 7)
    mask[0, 2] = False
    with_masks(layer, inputs(draw), weights, 6, [mask])
    # with dropout nothing but such rows, so that the numbers do not hang on chance
    nothing, bias = torch.zeros(3, 5, 7, dtype=torch.bool), weights["o_proj.bias"].expand(3, 5, 24)
    layer = family.make(learner, 24, 6, dropout=0.5).set(weights, training=True)
    close(layer.ahead(*inputs(draw), nothing), bias, "the rows of queries that may attend to nothing")


def test_dropout_of_everything(learner, draw, family):
    """with dropout=1 a training pass leaves o_proj's bias"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    layer = family.make(learner, 24, 6, dropout=1.0).set(weights, training=True)
    masks = (None, *(draw.mask(*shape) for shape in mask_shapes(3, 5, 7, 6)))
    close_each(layer.several(*((*inputs(draw), mask) for mask in masks)), [weights["o_proj.bias"].expand(3, 5, 24)] * 5)
    layer.set(weights, training=True, grad=False)
    for length, keys, mask in ((1, 7, None), (7, 7, None), (3, 1, None), (5, 7, draw.mask(5, 7))):
        close(layer.ahead(*inputs(draw, 2, length, keys), mask), weights["o_proj.bias"].expand(2, length, 24))


def test_dropout_follows_the_mode(learner, draw, family):
    """dropout ends with training and begins again with it"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    layer = family.make(learner, 24, 6, dropout=1.0)
    given = inputs(draw)
    for training in (True, False, True):
        wanted = weights["o_proj.bias"].expand(3, 5, 24) if training else attend(*given, weights, 6)
        close(layer.set(weights, training=training).ahead(*given), wanted)


def dropped_weights(learner, draw, family, p, mask):
    """A layer in training that shows its weights, and the inputs for it: every score is 0.

    head_dim = 2 S and values [I I], so that each head's output is its weights, twice. Keys are the same, for those who
    take them for values.
    """
    batch, length, keys, heads = 2, 30, 5, 4
    layer = family.plain(learner, heads * 2 * keys, heads, {"q_proj": 0.0}, training=True, dropout=p)
    value = torch.eye(keys).repeat(1, 2 * heads)[None].double().expand(batch, -1, -1)
    return layer, (draw(batch, length, 2 * keys * heads), value, value, mask)


def split_weights(out, before):
    """The weights that a layer as above gave, both times: each (B, L, H, S), as `before` is."""
    batch, length, heads, keys = before.shape
    shaped(out, (batch, length, heads * 2 * keys))
    return out.unflatten(-1, (heads, 2, keys)).unbind(-2)


def uniform(mask):
    """The weights (B, L, H, S) = (2, 30, 4, 5) of equal scores."""
    allowed = torch.ones(2, 4, 30, 5).double() if mask is None else mask.expand(2, 4, 30, 5).double()
    return (allowed / allowed.sum(-1, keepdim=True)).transpose(1, 2)


DROPPED = [
    (0.25, None),
    (0.9, None),
    (0.6, "(L, S)"),
    (0.25, "(B, L, S)"),
    (0.5, "(B, 1, L, S)"),
    (0.25, "(B, H, L, S)"),
]


@pytest.mark.parametrize(("p", "kind"), DROPPED, ids=[f"dropout={p}, {kind or 'no'} mask" for p, kind in DROPPED])
def test_dropout_acts_on_the_weights(learner, draw, family, p, kind):
    """dropout drops attention weights and scales the others by 1/(1-p)"""
    mask = draw.mask(*mask_shape(kind, 2, 30, 5, 4)) if kind else None
    layer, given = dropped_weights(learner, draw, family, p, mask)
    before = uniform(mask if kind != "(B, L, S)" else mask[:, None])
    first, second = split_weights(layer(*given), before)
    kept = before / (1 - p)
    strays = (first != 0) & ~((first - kept).abs() <= 1e-5)
    at = tuple(strays.nonzero()[0].tolist()) if strays.any() else (0, 0, 0, 0)
    wanted, got = apart(kept[at].item(), first[at].item()) if strays.any() else ("", "")
    holds(
        not strays.any(),
        "the weights are not each dropped or scaled by 1/(1-p)",
        f"0 or {wanted} for a weight of {before[at].item():.4g} and p={p}",
        got,
    )
    holds(
        bool(((first - second).abs() <= 1e-5).all()),
        "a weight that appears twice in the output was dropped once",
        "a dropped weight is dropped for all features of its value",
        "the same weight is dropped for one feature and kept for another",
    )
    share, count = float((first[before > 0] == 0).double().mean()), int((before > 0).sum())
    holds(
        abs(share - p) < 5 * math.sqrt(p * (1 - p) / count),
        "the share of dropped weights is wrong",
        f"about {p}",
        f"{share:.3f} of {count}",
    )


@pytest.mark.parametrize("kind", [None, *KINDS], ids=["no mask", *(f"{kind} mask" for kind in KINDS)])
def test_dropout_differs_between_weights(learner, draw, family, kind):
    """each weight is dropped for itself: by sequence, head, query and key"""
    # the last key is hidden from every query
    mask = torch.ones(mask_shape(kind, 2, 30, 5, 4), dtype=torch.bool) if kind else None
    if kind:
        mask[..., -1] = False
    seen = 4 if kind else 5
    layer, given = dropped_weights(learner, draw, family, 0.5, mask)
    before = uniform(mask if kind != "(B, L, S)" else mask[:, None])
    first, second = split_weights(layer(*given), before)
    dropped = first[..., :seen] == 0
    holds(
        bool(
            (dropped | ((first - 2 * before)[..., :seen].abs() <= 1e-5)).all() and (first - second).abs().max() <= 1e-5
        ),
        "the output is not that of weights of which some are dropped",
        f"0 or {2 / seen:g} everywhere, for weights of {1 / seen:g} and p=0.5",
        "other numbers",
    )
    again, _ = split_weights(layer(torch.zeros_like(given[0]), *given[1:]), before)
    alike = ("others for each", "the same ones")
    holds(not torch.equal(dropped, again[..., :seen] == 0), "two calls drop the same weights", *alike)
    # those that are few first: where they are alike, there is less in a pattern to tell the others apart
    for axis, name in ((2, "heads"), (3, "keys"), (0, "sequences"), (1, "queries")):
        patterns = {tuple(part.flatten().tolist()) for part in dropped.unbind(axis)}
        holds(len(patterns) == dropped.size(axis), f"two {name} drop the same weights", *alike)


# -------------------------------------------------------------------------------------------- gradients


def trains(layer, weights, given, mask, cotangent, tolerance=5e-6, inputs=True):
    """The gradients of inputs and parameters are right; or of parameters alone, where the inputs want none."""
    asked = layer.backward(cotangent, *given, mask, leaves=inputs)
    exact = {id(x): x.detach().double().requires_grad_() for x in given}
    leaves = [exact[id(x)] for x in given]
    own = {name: weight.double().clone().requires_grad_() for name, weight in weights.items()}
    (attend(*leaves, own, 6, mask) * cotangent.double()).sum().backward()
    back, names = asked.wait(), ("query", "key", "value")
    found = {**dict(zip(names, back.inputs, strict=True)), **back.parameters}
    wanted = {**(dict(zip(names, leaves, strict=True)) if inputs else {}), **own}
    gradients(found, {name: leaf.grad.nan_to_num().to(cotangent.dtype) for name, leaf in wanted.items()}, tolerance)


@pytest.mark.parametrize("kind", ["no mask", "mask", "self-attention"])
def test_gradients(learner, draw, family, kind):
    """the gradients of inputs and parameters are right"""
    weights, training = layer_weights(draw, 24, 6, family.kv(6)), kind != "mask"
    layer = family.make(learner, 24, 6, dropout=0.0 if training else 0.5).set(weights, training=training)
    length, keys = {"no mask": (6, 6), "mask": (1, 7), "self-attention": (5, 5)}[kind]
    given = inputs(draw, 2, length, keys)
    given = (given[0],) * 3 if kind == "self-attention" else given
    mask = None if kind == "no mask" else draw.mask(2, length, keys)
    trains(layer, weights, given, mask, draw(2, length, 24))
    if not training:
        trains(layer, weights, given, mask, draw(2, length, 24), inputs=False)


def test_gradients_of_empty_rows(learner, draw, family):
    """the gradients are right and finite where a query may attend to nothing"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    layer = family.make(learner, 24, 6).set(weights, training=True)
    mask = draw.mask(2, 6, 5, 7)
    mask[0, :, 2], mask[1, 3, 4] = False, False
    # a division by the tiniest number would overflow
    trains(layer, weights, inputs(draw, 2), mask, draw(2, 5, 24, scale=1e3))


@each(("dtype", "sign"), HALVES, (1, -1), ids=(short, {1: "scores above 16", -1: "scores below -16"}.get))
def test_gradients_of_empty_rows_in_half_precision(learner, draw, family, dtype, sign):
    """the gradients are finite in half precision where a query may attend to nothing, whatever its scores"""
    weights = {name: weight.to(dtype) for name, weight in layer_weights(draw, 24, 6, family.kv(6)).items()}
    for name in ("q_proj.bias", "k_proj.bias"):
        weights[name].fill_(6.0 if name == "q_proj.bias" else 6.0 * sign)  # the scores are near 72
    for name in ("q_proj.weight", "k_proj.weight"):
        weights[name] *= 0.05
    layer = family.make(learner, 24, 6).set(weights, dtype, training=True)
    mask = draw.mask(2, 5, 7)
    mask[0, 2], mask[1] = False, False
    given, cotangent = [x.to(dtype) for x in inputs(draw, 2)], draw(2, 5, 24).to(dtype)
    back = layer.backward(cotangent, *given, mask).wait()
    for name, got in [*zip(("query", "key", "value"), back.inputs, strict=True), *back.parameters.items()]:
        reached(got, name)
        holds(bool(got.isfinite().all()), f"the gradient of {name} has NaN or infinity inside", "finite numbers", "NaN")
    holds(
        not back.inputs[0][0, 2].any(),
        "a gradient reaches a query that may attend to nothing",
        "0",
        "other numbers",
    )


def test_gradients_beside_large_masked_scores(learner, draw, family):
    """the gradients are right where a masked key has a score of 1e4"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    layer = family.make(learner, 24, 6).set(weights, training=True)
    query, key, value = inputs(draw, 2)
    mask = draw.mask(5, 7)
    mask[:, 3:5], mask[:, 0] = False, True
    key[:, 3:5] *= 3e3
    trains(layer, weights, (query, key, value), mask, draw(2, 5, 24))


def test_gradients_with_dropout(learner, draw, family):
    """a training pass with dropout has gradients"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    # inputs may want no gradients
    for dtype, mask, leaves in ((torch.float32, None, True), (torch.float16, draw.mask(5, 7), False)):
        layer = family.make(learner, 24, 6, dropout=0.5)
        layer.set({name: weight.to(dtype) for name, weight in weights.items()}, dtype, training=True)
        cotangent = draw(3, 5, 24).to(dtype)
        back = layer.backward(cotangent, *(x.to(dtype) for x in inputs(draw)), mask, leaves=leaves).wait()
        for name, got in zip(("query", "key", "value"), back.inputs if leaves else (), strict=False):
            reached(got, name)
        for name, weight in weights.items():
            got = back.parameters.get(name)
            reached(got, name)
            shaped(got, tuple(weight.shape), f"the gradient of {name}")
            holds(
                bool(got.isfinite().all()),
                f"the gradient of {name} has NaN or infinity inside",
                "finite numbers",
                "NaN",
            )
        wanted = cotangent.double().sum((0, 1)).to(dtype)
        close(back.parameters["o_proj.bias"], wanted, "the gradient of o_proj.bias", tolerance=HALF[dtype])


def test_what_is_dropped_has_no_gradient(learner, draw, family):
    """with dropout=1 no gradient gets past the weights"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    layer = family.make(learner, 24, 6, dropout=1.0).set(weights, training=True)
    back = layer.backward(draw(3, 5, 24), *inputs(draw)).wait()
    for name in ("q_proj.weight", "k_proj.weight", "v_proj.weight"):
        got = back.parameters.get(name)
        holds(got is None or not got.any(), f"a gradient reaches {name}", "0", "other numbers")


# -------------------------------------------------------------------------------------------------- use


def test_many_keys(learner, draw, family):
    """there may be more keys than a block of an online softmax holds"""
    for batch, length, keys, d_model, heads in (
        (2, 3, 300, 24, 6),
        (1, 300, 5, 8, 4),
        (1, 70, 70, 8, 4),
        (1, 1, 3000, 4, 4),
    ):
        layer, weights = family.random(learner, draw, d_model, heads)
        late = (torch.arange(keys) >= keys - 4).expand(length, keys)  # the first blocks are hidden
        masks = [None, draw.mask(length, keys), late]
        with_masks(layer, inputs(draw, batch, length, keys, d_model), weights, heads, masks)


def test_inputs_are_not_modified(learner, draw, family):
    """the inputs are not modified"""
    layer, weights = family.random(learner, draw)
    shapes = {(5, 7): torch.float64, (3, 5, 7): torch.float16, (3, 1, 5, 7): torch.float64, (3, 6, 5, 7): torch.float32}
    for shape, dtype in shapes.items():
        half = {name: weight.to(dtype) for name, weight in weights.items()}
        layer.set(half, dtype, training=len(shape) == 4)
        given = [*(x.to(dtype) for x in inputs(draw)), draw.mask(*shape)]
        given[3][..., 2, :] = False
        _, after, _ = layer.echo(*given)
        for name, was, now in zip(("query", "key", "value", "mask"), given, after, strict=True):
            holds(was.shape == now.shape, f"{name} changed its shape", str(tuple(was.shape)), str(tuple(now.shape)))
            holds(
                torch.equal(was, now) and was.dtype == now.dtype,
                f"{name} was modified in place",
                "as it was",
                "other numbers",
            )


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_a_call_changes_nothing(learner, draw, family, training):
    """a call leaves the weights, and PyTorch's settings, as they were"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    layer = family.make(learner, 24, 6, dropout=0.5).set(weights, training=training)
    changed = layer.changes(*inputs(draw), draw.mask(3, 5, 7))
    holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))


def test_the_same_call_twice(learner, draw, family):
    """the same call twice gives the same numbers"""
    layer, _ = family.random(learner, draw)
    given = (*inputs(draw), draw.mask(3, 5, 7))
    first, second = layer.several(given, given).wait()
    shaped(first, (3, 5, 24))
    close(second, first, "the second output", tolerance=2e-14)


def test_strides_do_not_matter(learner, draw, family):
    """transposed and expanded inputs are taken as they are"""
    layer, weights = family.random(learner, draw)
    query, key = draw(5, 2, 24).transpose(0, 1), draw(2, 24, 7).transpose(1, 2)
    value = draw(1, 7, 24).expand(2, 7, 24)  # values that are all the same would hide every mask
    in_front = draw.mask(2, 5, 7, 6).permute(0, 3, 1, 2)
    for mask in (
        None,
        draw.mask(7, 5).T,
        draw.mask(2, 1, 7).expand(2, 5, 7),
        in_front,
        draw.mask(2, 1, 1, 7).expand(2, 6, 5, 7),
    ):
        wanted = attend(query.contiguous(), key.contiguous(), value.contiguous(), weights, 6, mask).nan_to_num()
        close(layer.ahead(query, key, value, mask), wanted)


def test_self_attention_with_a_mask(learner, draw, family):
    """query, key and value may be one tensor, with a causal mask"""
    layers = [family.random(learner, draw, bias=bias) for bias in (True, False)]
    for length in (1, 3, 4, 5, 8):
        x = draw(2, length, 24)
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        for layer, weights in layers:
            close(layer.ahead(x, x, x, mask), attend(x, x, x, weights, 6, mask))


def test_a_layer_is_used_again(learner, draw, family):
    """a layer has no memory: sizes and masks may change from call to call"""
    layer, weights = family.random(learner, draw)
    sizes = [(2, 5, 7), (3, 2, 4), (2, 5, 7), (1, 7, 3), (2, 5, 7), (2, 5, 7)]
    calls = [(*inputs(draw, *size), mask) for size in sizes for mask in (draw.mask(*size[1:]), None)]
    close_each(layer.several(*calls), [attend(*call[:3], weights, 6, call[3]) for call in calls])


def test_inputs_and_weights_may_change(learner, draw, family):
    """the same tensors, and the layer's weights, may hold other numbers in the next call"""
    layer, _ = family.random(learner, draw)
    for _ in range(2):
        weights = layer_weights(draw, 24, 6, family.kv(6))
        layer.set(weights)
        calls = [(*inputs(draw), draw.mask(3, 5, 7)) for _ in range(2)]
        close_each(layer.several(*calls, reuse=True), [attend(*call[:3], weights, 6, call[3]) for call in calls])


def test_layers_have_nothing_in_common(learner, draw, family):
    """two layers may have other heads and other dropout"""
    (first, weights), (second, others) = family.random(learner, draw, 24, 6), family.random(learner, draw, 24, 4)
    family.make(learner, 24, 12, dropout=1.0).set(layer_weights(draw, 24, 12, family.kv(12)), training=True)
    given = inputs(draw)
    for layer, own, heads in ((first, weights, 6), (second, others, 4), (first, weights, 6)):
        close(layer.ahead(*given), attend(*given, own, heads))


def test_mask_by_keyword(learner, draw, family):
    """the arguments of forward are named query, key, value and mask"""
    layer, weights = family.random(learner, draw)
    query, key, value = inputs(draw)
    mask = draw.mask(5, 7)
    close(layer.ahead(query=query, key=key, value=value, mask=mask), attend(query, key, value, weights, 6, mask))


# -------------------------------------------------------------------------------- precision and ValueErrors


def test_float64_precision(learner, draw, family):
    """float64 in, float64 precision out"""
    layer, weights = family.random(learner, draw, 30, 6)  # the root of a head_dim of 5 is no float32
    given = inputs(draw, d_model=30)
    for mask in (None, draw.mask(3, 5, 7)):
        precise(layer.ahead(*given, mask), attend(*given, weights, 6, mask))


@pytest.mark.parametrize("sizes", [(10, 3), (24, 5), (6, 4), (4, 8)], ids=named("d_model", "num_heads"))
def test_d_model_must_be_divisible(learner, family, sizes):
    """ValueError when num_heads does not divide d_model"""
    d_model, num_heads = sizes
    given = Family(family.symbol, 1, family.takes_kv_heads)
    raises(
        "ValueError",
        lambda: given.make(learner, d_model, num_heads).parameters,
        f"{family.symbol}(d_model={d_model}, num_heads={num_heads})",
    )
