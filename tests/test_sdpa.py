"""Grader of kata 1, scaled dot-product attention."""

import math

import pytest
import torch
import torch.nn.functional as F

from grading.examination.checks import close, close_each, holds, numbers, shaped, typed
from grading.observe import agree

HALF = {torch.float16: 1e-2, torch.bfloat16: 8e-2, torch.float32: 1e-5, torch.float64: 1e-12}
MASKS = [(7,), (1, 7), (5, 1), (5, 7), (3, 5, 7), (2, 1, 5, 7), (2, 1, 1, 7), (2, 3, 5, 7)]
# leading dimensions, L, S, E, Ev: all different, then the sizes that coincide
SIZES = [((2, 3), 5, 7, 4, 6), ((3,), 1, 7, 4, 4), ((), 5, 7, 4, 6), ((2, 1, 3), 5, 4, 8, 2), ((4, 4), 4, 4, 4, 4)]
SIZES += [((1, 1), 1, 4, 1, 1), ((6,), 6, 3, 4, 5), ((2,), 12, 12, 8, 4)]


def attention(query, key, value, mask=None):
    """PyTorch's own, which wants a mask of two dimensions or more."""
    return F.scaled_dot_product_attention(query, key, value, mask if mask is None or mask.dim() > 1 else mask[None])


def drawn(draw, lead, length, keys, head_dim, value_dim):
    return draw(*lead, length, head_dim), draw(*lead, keys, head_dim), draw(*lead, keys, value_dim)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_output_shape(learner, draw, size):
    """the output has the shape (..., L, Ev)"""
    lead, length, _, _, value_dim = size
    out = learner.scaled_dot_product_attention(*drawn(draw, *size))
    shaped(out, (*lead, length, value_dim))


def test_one_key_gives_its_value(learner, draw):
    """with a single key every query gets that key's value"""
    value = torch.tensor([[3.0, 1.0, 4.0]])
    out = learner.scaled_dot_product_attention(draw(2, 4).float(), draw(1, 4).float(), value)
    shaped(out, (2, 3))
    numbers(
        out.flatten().tolist(),
        [3, 1, 4, 3, 1, 4],
        "the value, for both queries",
        "the output is not the one value",
    )


def test_equal_scores_give_the_mean_of_the_values(learner, draw):
    """equal scores give the mean of the values"""
    value = torch.tensor([[0.0], [3.0], [9.0]], dtype=torch.float64)
    out = learner.scaled_dot_product_attention(torch.zeros(2, 4).double(), draw(3, 4), value)
    shaped(out, (2, 1))
    numbers(
        out.flatten().tolist(),
        [4, 4],
        "the mean of 0, 3 and 9",
        "the output is not the mean of the values",
    )


def test_scores_are_scaled_by_the_root_of_head_dim(learner):
    """the scores are scaled by 1/sqrt(E)"""
    # E = 16: the product is 4 ln 3, so the scaled scores are 0 and ln 3, and the weights 1/4 and 3/4
    query = torch.full((1, 16), 1.0).double()
    key = torch.stack([torch.zeros(16), torch.full((16,), math.log(3) / 4)]).double()
    out = learner.scaled_dot_product_attention(query, key, torch.eye(2).double())
    shaped(out, (1, 2))
    numbers(
        out.flatten().tolist(),
        [0.25, 0.75],
        "weights of two keys, E = 16",
        "these are not the weights of scores times 1/sqrt(E)",
    )


def test_true_means_may_attend(learner, draw):
    """a mask's True means may attend"""
    value = torch.tensor([[1.0], [2.0], [4.0], [8.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False, False], [False, False, True, False], [True, False, False, True]])
    out = learner.scaled_dot_product_attention(torch.zeros(3, 4).double(), draw(4, 4), value, mask)
    shaped(out, (3, 1))
    numbers(
        out.flatten().tolist(),
        [1.5, 4, 4.5],
        "means of the values allowed to each query",
        "the output is not the mean of the values that the mask allows",
    )


@pytest.mark.parametrize("shape", MASKS, ids=str)
def test_masks_broadcast(learner, draw, shape):
    """a mask broadcasts to (..., L, S)"""
    query, key, value = drawn(draw, (2, 3), 5, 7, 4, 6)
    mask = draw.mask(*shape) if shape[-1] > 1 else torch.tensor([[True], [True], [False], [True], [False]])
    close(
        learner.scaled_dot_product_attention.ahead(query, key, value, mask),
        attention(query, key, value, mask),
    )


def test_masks_of_colliding_sizes(learner, draw):
    """a mask broadcasts when all sizes are the same"""
    query, key, value = drawn(draw, (4, 4), 4, 4, 4, 4)
    shapes = [(4,), (4, 4), (4, 4, 4), (4, 1, 4, 4), (4, 1, 1, 4), (4, 4, 4, 4)]
    calls = [(query, key, value, draw.mask(*shape)) for shape in shapes]
    names = [f"the output with a mask {shape}" for shape in shapes]
    close_each(learner.scaled_dot_product_attention.several(*calls), [attention(*call) for call in calls], names)


def test_masked_keys_have_no_influence(learner, draw):
    """a key that may not be seen has no influence"""
    query, key, value = drawn(draw, (2,), 5, 7, 4, 6)
    mask = draw.mask(7)
    before = learner.scaled_dot_product_attention(query, key, value, mask)
    key[:, ~mask], value[:, ~mask] = 50.0, 1e6
    after = learner.scaled_dot_product_attention(query, key, value, mask)
    shaped(before, (2, 5, 6))
    close(after, before, "the output with other numbers in the masked keys and values")


def test_a_query_without_keys_gets_zeros(learner, draw):
    """a query that may attend to nothing gets a row of zeros"""
    query, key, value = drawn(draw, (2, 3), 5, 7, 4, 6)
    mask = draw.mask(2, 1, 5, 7)
    mask[0, 0, 2], mask[1, 0, 4] = False, False
    out = learner.scaled_dot_product_attention(query, key, value, mask)
    shaped(out, (2, 3, 5, 6))
    holds(not out.isnan().any(), "NaN where a query may attend to nothing", "zeros", "NaN")
    numbers(
        out[0, 0, 2].tolist(),
        [0.0] * 6,
        "the row without keys",
        "the row of a query that may attend to nothing is not zero",
    )
    close(out, attention(query, key, value, mask))


@pytest.mark.parametrize("size", [((2,), 3, 4), ((), 1, 5), ((2,), 3, 1), ((1,), 1, 1)], ids=str)
def test_nothing_allowed_at_all(learner, draw, size):
    """a mask that allows nothing gives zeros, for a single query or key too"""
    lead, length, keys = size
    query, key, value = drawn(draw, lead, length, keys, 8, 5)
    out = learner.scaled_dot_product_attention(query, key, value, torch.zeros(length, keys, dtype=torch.bool))
    close(out, torch.zeros(*lead, length, 5, dtype=torch.float64))


def gradients(query, key, value, mask, cotangent):
    inputs = [x.clone().requires_grad_() for x in (query, key, value)]
    (attention(*inputs, mask) * cotangent).sum().backward()
    return [x.grad for x in inputs]


@pytest.mark.parametrize("kind", ["no mask", "mask", "empty row"])
def test_gradients(learner, draw, kind):
    """gradients are right"""
    lead, length, keys = {"no mask": ((), 1, 7), "mask": ((2, 1, 3), 4, 4), "empty row": ((2, 3), 5, 7)}[kind]
    query, key, value = drawn(draw, lead, length, keys, 4, 6)
    mask = {"no mask": None, "mask": draw.mask(4), "empty row": draw.mask(2, 1, 5, 7)}[kind]
    if kind == "empty row":
        mask[0, 0, 2] = False
    cotangent = draw(*lead, length, 6, scale=1e3)  # a division by the tiniest number would overflow
    asked = learner.scaled_dot_product_attention.backward(cotangent, query, key, value, mask)
    wanteds = gradients(query, key, value, mask, cotangent)
    for name, got, wanted in zip(("query", "key", "value"), asked.wait().inputs, wanteds, strict=True):
        holds(got is not None, f"no gradient reaches {name}")
        close(got, wanted.nan_to_num(), f"the gradient of {name}")


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_gradients_in_each_dtype(learner, draw, dtype):
    """gradients are right in each dtype, with an empty row too"""
    given = [x.to(dtype) for x in (*drawn(draw, (2, 3), 5, 7, 4, 6), draw(2, 3, 5, 6))]
    query, key, value, cotangent = given
    mask = draw.mask(2, 1, 5, 7)
    mask[0, 0, 2] = False
    asked = learner.scaled_dot_product_attention.backward(cotangent, query, key, value, mask)
    exact = gradients(query.double(), key.double(), value.double(), mask, cotangent.double())
    for name, got, wanted in zip(("query", "key", "value"), asked.wait().inputs, exact, strict=True):
        holds(got is not None, f"no gradient reaches {name}")
        close(got, wanted.nan_to_num().to(dtype), f"the gradient of {name}", tolerance=3 * HALF[dtype])


@pytest.mark.parametrize("dtype", HALF, ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_dtype_is_kept(learner, draw, dtype):
    """the dtype is kept, and the work done in at least its precision"""
    inputs = [x.to(dtype) for x in drawn(draw, (2, 3), 5, 7, 4, 6)]
    for mask in (None, draw.mask(5, 7)):
        out = learner.scaled_dot_product_attention.ahead(*inputs, mask)
        wanted = attention(*[x.double() for x in inputs], mask)
        shaped(out, (2, 3, 5, 6))
        typed(out, dtype)
        close(out, wanted.to(dtype), tolerance=HALF[dtype])
    if dtype is not torch.float16:  # its largest number is 65504
        large = inputs[2] * 1e6
        wanted = attention(inputs[0].double(), inputs[1].double(), large.double()).to(dtype)
        out = learner.scaled_dot_product_attention.ahead(inputs[0], inputs[1], large)
        close(out, wanted, "the output of values near 1e6", tolerance=HALF[dtype])


@pytest.mark.parametrize("dtype", HALF, ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_empty_rows_in_each_dtype(learner, draw, dtype):
    """a query without keys gets zeros in each dtype"""
    query, key, value = (x.to(dtype) for x in drawn(draw, (2,), 3, 4, 8, 5))
    mask = draw.mask(3, 4)
    mask[1] = False
    out = learner.scaled_dot_product_attention(query, key, value, mask)
    shaped(out, (2, 3, 5))
    typed(out, dtype)
    numbers(
        out[:, 1].flatten().tolist(),
        [0.0] * 10,
        "the rows without keys",
        "the row of a query that may attend to nothing is not zero",
    )


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["+1e4", "-1e4"])
@pytest.mark.parametrize("dtype", HALF, ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_large_scores_are_safe(learner, dtype, sign):
    """scores of 1e4 are safe"""
    # E = 128: the products pass 65504, float16's largest number, and the scaled scores are near 1e4
    query = torch.full((2, 128), 36.0, dtype=dtype) * sign
    key = torch.stack([torch.full((128,), x) for x in (36.0, 35.0, 34.0, 37.0)]).to(dtype)
    value = torch.tensor([[1.0], [2.0], [3.0], [4.0]], dtype=dtype)
    # the key with the largest score is out of the second query's sight
    mask = torch.tensor(
        [[True, True, True, True], [True, True, True, False] if sign > 0 else [True, True, False, True]]
    )
    for given, wanted in ((None, [4, 4] if sign > 0 else [3, 3]), (mask, [4, 1] if sign > 0 else [3, 2])):
        out = learner.scaled_dot_product_attention(query, key, value, given)
        shaped(out, (2, 1))
        typed(out, dtype)
        numbers(
            out.flatten().tolist(),
            wanted,
            "the value with the largest score",
            "the output is not the value with the largest score",
        )


def test_inputs_are_not_modified(learner, draw):
    """the inputs are not modified"""
    query, key, value = drawn(draw, (2, 3), 5, 7, 4, 6)
    mask, row = draw.mask(5, 7), draw.mask(7)
    mask[2] = False
    flat, half = [x[0, 0] for x in (query, key, value)], [x.half() for x in (query, key, value)]
    column = mask[:, :1] | True
    column[2] = False
    for given in ([query, key, value], [query, key, value, mask], [*flat, row], [*half, column]):
        _, after, _ = learner.scaled_dot_product_attention.echo(*given)
        for name, was, now in zip(("query", "key", "value", "mask"), given, after, strict=False):
            holds(torch.equal(was, now) and was.dtype == now.dtype, f"{name} was modified in place")


def test_strides_do_not_matter(learner, draw):
    """transposed and expanded inputs are taken as they are"""
    query, key = draw(2, 5, 3, 4).transpose(1, 2), draw(2, 4, 3, 7).permute(0, 2, 3, 1)
    value = draw(1, 1, 7, 6).expand(2, 3, 7, 6)
    for mask in (None, draw.mask(7, 5).T, draw.mask(1, 7).expand(5, 7)):
        close(
            learner.scaled_dot_product_attention.ahead(query, key, value, mask),
            attention(query.contiguous(), key.contiguous(), value.contiguous(), mask).nan_to_num(),
        )


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_pytorch(learner, draw, size):
    """the numbers are those of F.scaled_dot_product_attention"""
    lead, length, keys, _, _ = size
    for scale, axes in ((0.3, lead), (1.0, lead[1:]), (3.0, lead)):
        given = [x * scale for x in drawn(draw, *size)]
        calls = [(*given, mask) for mask in (None, draw.mask(length, keys), draw.mask(*axes, length, keys))]
        close_each(learner.scaled_dot_product_attention.several(*calls), [attention(*call) for call in calls])


def test_calls_do_not_depend_on_each_other(learner, draw):
    """sizes, masks and numbers may change from call to call, in the same memory too"""
    sizes = [((2,), 5, 7, 4, 6), ((), 3, 4, 4, 6), ((2,), 5, 7, 4, 6), ((2,), 5, 7, 4, 6)]
    calls = [(*drawn(draw, *size), mask) for size in sizes for mask in (draw.mask(*size[1:3]), None)]
    close_each(learner.scaled_dot_product_attention.several(*calls), [attention(*call) for call in calls])
    calls = [(*drawn(draw, *sizes[0]), draw.mask(5, 7)) for _ in range(3)]
    close_each(learner.scaled_dot_product_attention.several(*calls, reuse=True), [attention(*call) for call in calls])


def test_many_keys(learner, draw):
    """more keys than a block of an online softmax holds"""
    for lead, length, keys in (((2,), 70, 300), ((), 300, 300), ((), 1100, 3), ((), 2, 3000)):
        query, key, value = drawn(draw, lead, length, keys, 8, 4)
        for mask in (None, draw.mask(length, keys)):
            wanted = attention(query, key, value, mask)
            close(learner.scaled_dot_product_attention.ahead(query, key, value, mask), wanted)


def test_mask_by_keyword(learner, draw):
    """the arguments are named query, key, value and mask"""
    query, key, value = drawn(draw, (2,), 5, 7, 4, 6)
    mask = draw.mask(5, 7)
    out = learner.scaled_dot_product_attention(query=query, key=key, value=value, mask=mask)
    close(out, attention(query, key, value, mask))


def test_inputs_that_tell_mistakes_apart(learner, seed):
    """the numbers are right on inputs on which each known mistake shows"""
    agree(learner, seed)
