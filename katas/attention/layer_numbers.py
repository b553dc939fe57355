"""What multi-head, grouped-query and multi-query attention share beyond single rules: masks, dropout, numbers, use."""

import math

import pytest
import torch

from grading.examination.checks import close, close_each, holds, shaped, typed
from grading.observe import agree
from katas.attention.layer_rules import HALF, inputs
from katas.attention.oracle import attend, layer_weights, plain_weights


@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 7), (2, 1, 5, 7), (2, 6, 5, 7)], ids=str)
def test_masks(learner, draw, family, shape):
    """a mask may be (L, S), (B, L, S), (B, 1, L, S) or (B, H, L, S)"""
    layer, weights = family.random(learner, draw, 24, 6)
    query, key, value = inputs(draw)
    mask = draw.mask(*shape)
    close(layer.ahead(query, key, value, mask), attend(query, key, value, weights, 6, mask))


def with_masks(layer, given, weights, heads, masks):
    """The output is right with each of these masks."""
    wanted = [attend(*given, weights, heads, mask) for mask in masks]
    names = [f"the output with a mask {tuple(mask.shape)}" if mask is not None else "the output" for mask in masks]
    close_each(layer.several(*((*given, mask) for mask in masks)), wanted, names)


@pytest.mark.parametrize(
    "sizes",
    # batch, L, S, H: L = H, B = L, B = H, B = 1, S = L, S = H, all the same; L = 1, S = 1, all but the heads 1
    [
        (2, 6, 7, 6),
        (5, 5, 7, 6),
        (6, 5, 7, 6),
        (1, 5, 7, 6),
        (2, 5, 5, 6),
        (2, 5, 6, 6),
        (6, 6, 6, 6),
        (1, 6, 6, 6),
        (2, 1, 7, 6),
        (1, 1, 7, 6),
        (2, 5, 1, 6),
        (1, 1, 1, 6),
    ],
    ids=str,
)
def test_masks_of_colliding_sizes(learner, draw, family, sizes):
    """masks are told apart by their dimensions when sizes coincide"""
    batch, length, keys, heads = sizes
    layer, weights = family.random(learner, draw, 24, heads)
    query, key, value = inputs(draw, batch, length, keys)
    shapes = [(length, keys), (batch, length, keys), (batch, 1, length, keys), (batch, heads, length, keys)]
    with_masks(layer, (query, key, value), weights, heads, [draw.mask(*shape) for shape in shapes])


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


@pytest.mark.parametrize("sizes", [(2, 3, 4), (2, 1, 5), (2, 3, 1), (1, 1, 1)], ids=str)
def test_nothing_allowed_at_all(learner, draw, family, sizes):
    """a mask that allows nothing leaves o_proj's bias, for a single query or key too"""
    batch, length, keys = sizes
    layer, weights = family.random(learner, draw, 24, 6)
    shapes = [(length, keys), (batch, length, keys), (batch, 1, length, keys), (batch, 6, length, keys)]
    given = inputs(draw, batch, length, keys)
    calls = [(*given, torch.zeros(shape, dtype=torch.bool)) for shape in shapes]
    wanted = [weights["o_proj.bias"].expand(batch, length, 24)] * 4
    close_each(layer.several(*calls), wanted, [f"the output with a mask {shape}" for shape in shapes])


def test_masks_with_the_fewest_heads(learner, draw, family):
    """masks with as few heads as there can be"""
    heads = max(family.kv_heads, 1)
    layer, weights = family.random(learner, draw, 24, heads)
    shapes = [(5, 7), (2, 5, 7), (2, 1, 5, 7), (2, heads, 5, 7)]
    with_masks(layer, inputs(draw), weights, heads, [draw.mask(*shape) for shape in shapes])


def test_one_head_without_keys(learner, draw, family):
    """a head whose query may attend to nothing contributes zeros"""
    layer, weights = family.random(learner, draw, 24, 6)
    query, key, value = inputs(draw)
    mask = draw.mask(2, 6, 5, 7)
    mask[1, 3, 2] = False
    close(layer.ahead(query, key, value, mask), attend(query, key, value, weights, 6, mask))


# ---------------------------------------------------------------------------------------------- dropout


def test_no_dropout_in_eval(learner, draw, family):
    """no dropout in eval mode"""
    layer, weights = family.random(learner, draw, 24, 6, dropout=0.9)
    query, key, value = inputs(draw)
    for grad in (False, True):  # the mode counts, and not whether gradients are recorded
        layer.set(weights, grad=grad)
        close_each(layer.several((query, key, value), (query, key, value)), [attend(query, key, value, weights, 6)] * 2)


def test_dropout_of_everything(learner, draw, family):
    """with dropout=1 a training pass leaves o_proj's bias"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    layer = family.make(learner, 24, 6, dropout=1.0).set(weights, training=True)
    masks = (None, draw.mask(5, 7), draw.mask(2, 5, 7), draw.mask(2, 1, 5, 7), draw.mask(2, 6, 5, 7))
    close_each(layer.several(*((*inputs(draw), mask) for mask in masks)), [weights["o_proj.bias"].expand(2, 5, 24)] * 5)
    layer.set(weights, training=True, grad=False)
    for length, keys, mask in ((1, 7, None), (7, 7, None), (3, 1, None), (5, 7, draw.mask(5, 7))):
        close(layer.ahead(*inputs(draw, 2, length, keys), mask), weights["o_proj.bias"].expand(2, length, 24))
    given = inputs(draw)
    close(layer.set(weights).ahead(*given), attend(*given, weights, 6))
    close(layer.set(weights, training=True).ahead(*given), weights["o_proj.bias"].expand(2, 5, 24))


def test_no_dropout_unless_asked_for(learner, draw, family):
    """dropout is 0 and the layers have biases unless something else is asked for"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    layer = family.make(learner, 24, 6).set(weights, training=True)
    given, batched = inputs(draw), draw.mask(2, 5, 7)
    batched[0, 2] = False
    masks = [None, draw.mask(5, 7), batched, draw.mask(2, 1, 5, 7), draw.mask(2, 6, 5, 7)]
    with_masks(layer, given, weights, 6, masks)


@pytest.mark.parametrize("p", [0.25, 0.9])
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
    strays = out[(out != 0) & ((out - kept).abs() > 1e-9)]
    holds(
        not len(strays),
        "the output is not that of weights, each dropped or scaled by 1/(1-p)",
        f"0 or {kept:.4g} for a weight of 0.25 and p={p}",
        f"{strays[0] if len(strays) else 0:.4g}",
    )
    holds(
        bool(torch.equal(first, second)),
        "a weight that appears twice in the output was dropped once",
        "a dropped weight is dropped for all features of its value",
        "the same weight is dropped for one feature and kept for another",
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
    first, second = out.unflatten(-1, (heads, 2, keys)).unbind(-2)
    dropped = first == 0
    holds(
        bool(torch.equal(first, second) and (dropped | ((first - 0.5).abs() < 1e-9)).all()),
        "the output is not that of weights of which some are dropped",
        "0 or 0.5 everywhere, for weights of 0.25 and p=0.5",
        "other numbers",
    )
    again = layer(torch.zeros(2, length, 32).double(), draw(2, keys, 32), value.expand(2, -1, -1))
    shaped(again, (2, length, 32))
    same = torch.equal(dropped, again.unflatten(-1, (heads, 2, keys))[..., 0, :] == 0)
    holds(not same, "two calls drop the same weights")
    # those that are few first: where they are alike, there is less in a pattern to tell the others apart
    for axis, name in ((2, "heads"), (3, "keys"), (0, "sequences"), (1, "queries")):
        patterns = {tuple(each.flatten().tolist()) for each in dropped.unbind(axis)}
        holds(len(patterns) == dropped.size(axis), f"two {name} drop the same weights")


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
        out = layer.ahead(query, key, value, given)
        shaped(out, (2, 5, 24))
        typed(out, dtype)
        wanted = attend(query.double(), key.double(), value.double(), exact, 6, given)
        close(out, wanted.to(dtype), tolerance=HALF[dtype])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_large_scores_in_half_precision(learner, family, dtype):
    """scores of 1e4 are safe in float16 and bfloat16"""
    # E = 16: the scores are near 1e4, and before they are scaled still below float16's largest number, 65504
    weights = plain_weights(32, 2, family.kv(2))
    layer = family.make(learner, 32, 2).set({name: weight.to(dtype) for name, weight in weights.items()}, dtype)
    key = torch.tensor([54.0, 53.0, 52.0, 55.0], dtype=dtype)[None, :, None].expand(1, 4, 32)
    value = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=dtype)[None, :, None].expand(1, 4, 32)
    # a masked key may have the largest score, and all that may be seen be below -1e4
    for sign, mask, wanted in ((1, None, 4), (1, [True, True, True, False], 1), (-1, [True, True, False, True], 2)):
        query = torch.full((1, 2, 32), 54.0 * sign, dtype=dtype)
        given = None if mask is None else torch.tensor([mask, mask])
        close(layer.ahead(query, key, value, given), torch.full((1, 2, 32), float(wanted), dtype=dtype))


def test_large_scores_are_safe(learner, draw, family):
    """scores of 1e4 are safe"""
    layer, weights = family.random(learner, draw, 24, 6)
    query, key, value = inputs(draw)
    single = torch.eye(5, 7, dtype=torch.bool)  # the only key of a row may have a score below -1e4
    for scale in (100.0, -100.0):
        for given in (None, draw.mask(5, 7), single):
            out = layer.ahead(query * scale, key * 100.0, value, given)
            close(out, attend(query * scale, key * 100.0, value, weights, 6, given))


@pytest.mark.parametrize("kind", ["no mask", "mask", "empty row"])
def test_gradients(learner, draw, family, kind):
    """gradients of inputs and parameters are right"""
    weights, training = layer_weights(draw, 24, 6, family.kv(6)), kind != "mask"
    layer = family.make(learner, 24, 6, dropout=0.0 if training else 0.5).set(weights, training=training)
    length, keys = {"no mask": (6, 6), "mask": (1, 7), "empty row": (5, 7)}[kind]
    given = inputs(draw, 2, length, keys)
    cotangent = draw(2, length, 24, scale=1e3)  # a division by the tiniest number would overflow
    mask = {"no mask": None, "mask": draw.mask(2, 1, 7), "empty row": draw.mask(2, 6, 5, 7)}[kind]
    if kind == "empty row":
        mask[0, :, 2], mask[1, 3, 4] = False, False
    asked = layer.backward(cotangent, *given, mask)
    leaves = [x.clone().requires_grad_() for x in given]
    parameters = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    (attend(*leaves, parameters, 6, mask) * cotangent).sum().backward()
    back = asked.wait()
    pairs = dict(zip(("query", "key", "value"), zip(back.inputs, leaves, strict=True), strict=True))
    pairs |= {name: (back.parameters.get(name), leaf) for name, leaf in parameters.items()}
    for name, (got, leaf) in pairs.items():
        holds(got is not None, f"no gradient reaches {name}")
        close(got, leaf.grad.nan_to_num(), f"the gradient of {name}", tolerance=1e-8)


def test_gradients_with_dropout(learner, draw, family):
    """a training pass with dropout has gradients"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    # inputs may want no gradients
    for dtype, mask, leaves in ((torch.float32, None, True), (torch.float16, draw.mask(5, 7), False)):
        layer = family.make(learner, 24, 6, dropout=0.5)
        layer.set({name: weight.to(dtype) for name, weight in weights.items()}, dtype, training=True)
        cotangent = draw(2, 5, 24).to(dtype)
        back = layer.backward(cotangent, *(x.to(dtype) for x in inputs(draw)), mask, leaves=leaves).wait()
        for name, got in zip(("query", "key", "value"), back.inputs if leaves else (), strict=False):
            holds(got is not None, f"no gradient reaches {name}")
        for name, weight in weights.items():
            got = back.parameters.get(name)
            holds(got is not None, f"no gradient reaches {name}")
            shaped(got, tuple(weight.shape), f"the gradient of {name}")
            holds(bool(got.isfinite().all()), f"NaN or infinity in the gradient of {name}")
        wanted = cotangent.double().sum((0, 1)).to(dtype)
        close(back.parameters["o_proj.bias"], wanted, "the gradient of o_proj.bias", tolerance=HALF[dtype])


def test_what_is_dropped_has_no_gradient(learner, draw, family):
    """with dropout=1 no gradient gets past the weights"""
    weights = layer_weights(draw, 24, 6, family.kv(6))
    layer = family.make(learner, 24, 6, dropout=1.0).set(weights, training=True)
    back = layer.backward(draw(2, 5, 24), *inputs(draw)).wait()
    for name in ("q_proj.weight", "k_proj.weight", "v_proj.weight"):
        got = back.parameters.get(name)
        holds(got is None or not got.any(), f"a gradient reaches {name}", "0", "other numbers")


def test_many_keys(learner, draw, family):
    """more keys than a block of an online softmax holds"""
    for batch, length, keys, d_model, heads in (
        (2, 3, 300, 24, 6),
        (1, 300, 5, 8, 4),
        (1, 70, 70, 8, 4),
        (1, 1, 3000, 4, 4),
    ):
        layer, weights = family.random(learner, draw, d_model, heads)
        with_masks(layer, inputs(draw, batch, length, keys, d_model), weights, heads, [None, draw.mask(length, keys)])


def test_inputs_are_not_modified(learner, draw, family):
    """the inputs are not modified"""
    layer, weights = family.random(learner, draw, 24, 6)
    for shape, dtype in (((5, 7), torch.float64), ((2, 5, 7), torch.float16), ((2, 1, 5, 7), torch.float64)):
        half = {name: weight.to(dtype) for name, weight in weights.items()}
        layer.set(half, dtype, training=len(shape) == 4)
        given = [*(x.to(dtype) for x in inputs(draw)), draw.mask(*shape)]
        given[3][..., 2, :] = False
        _, after, _ = layer.echo(*given)
        for name, was, now in zip(("query", "key", "value", "mask"), given, after, strict=True):
            holds(torch.equal(was, now) and was.dtype == now.dtype, f"{name} was modified in place")


def test_strides_do_not_matter(learner, draw, family):
    """transposed and expanded inputs are taken as they are"""
    layer, weights = family.random(learner, draw, 24, 6)
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


@pytest.mark.parametrize("sizes", [(2, 5, 7, 6, 24), (9, 1, 5, 18, 36), (1, 4, 1, 2, 16), (2, 3, 3, 6, 6)], ids=str)
def test_equals_pytorch(learner, draw, family, sizes):
    """the numbers are PyTorch's, with copied weights"""
    batch, length, keys, heads, d_model = sizes
    for bias in (True, False):
        layer, weights = family.random(learner, draw, d_model, heads, bias)
        given = inputs(draw, batch, length, keys, d_model)
        with_masks(layer, given, weights, heads, [None, draw.mask(length, keys)])


def test_self_attention(learner, draw, family):
    """self-attention: query, key and value may be one tensor"""
    layer, weights = family.random(learner, draw, 24, 6)
    for length in (1, 3, 4, 5, 8):
        x, other = draw(2, length, 24), draw(2, length, 24)
        for mask in (None, torch.ones(length, length, dtype=torch.bool).tril()):
            for given in ((x, x, x), (x, x, other), (x, other, x), (other, x, x))[: 4 if length == 5 else 1]:
                close(layer.ahead(*given, mask), attend(*given, weights, 6, mask))


def test_a_layer_is_used_again(learner, draw, family):
    """a layer has no memory: sizes and masks may change from call to call"""
    layer, weights = family.random(learner, draw, 24, 6)
    sizes = [(2, 5, 7), (3, 2, 4), (2, 5, 7), (1, 7, 3), (2, 5, 7), (2, 5, 7)]
    calls = [(*inputs(draw, *size), mask) for size in sizes for mask in (draw.mask(*size[1:]), None)]
    close_each(layer.several(*calls), [attend(*call[:3], weights, 6, call[3]) for call in calls])


def test_inputs_and_weights_may_change(learner, draw, family):
    """the same tensors, and the layer's weights, may hold other numbers in the next call"""
    layer, _ = family.random(learner, draw, 24, 6)
    for _ in range(2):
        weights = layer_weights(draw, 24, 6, family.kv(6))
        layer.set(weights)
        calls = [(*inputs(draw), draw.mask(2, 5, 7)) for _ in range(2)]
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
    layer, weights = family.random(learner, draw, 24, 6)
    query, key, value = inputs(draw)
    mask = draw.mask(5, 7)
    close(layer.ahead(query=query, key=key, value=value, mask=mask), attend(query, key, value, weights, 6, mask))


def test_inputs_that_tell_mistakes_apart(learner, seed):
    """the numbers are right on inputs on which each known mistake shows"""
    agree(learner, seed)
