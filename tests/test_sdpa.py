"""Grader of scaled dot-product attention.

Where a check names no sizes, they are all different, so that an axis that is taken for another shows.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from grading.examination.checks import close, close_each, gradients, holds, numbers, precise, shaped, typed
from katas.attention.layer_rules import each, short

HALF = {torch.float16: 1e-2, torch.bfloat16: 8e-2, torch.float32: 1e-5, torch.float64: 5e-6}
MASKS = [(7,), (1, 7), (5, 7), (3, 5, 7), (2, 1, 5, 7), (2, 1, 1, 7), (2, 3, 5, 7)]
# leading dimensions, L, S, E, Ev: all different, then the sizes that coincide
DISTINCT = [((2, 3), 5, 7, 4, 6), ((3,), 4, 5, 6, 7), ((), 5, 7, 4, 6)]
SIZES = [((3,), 1, 7, 4, 4), ((2, 1, 3), 5, 4, 8, 2), ((4, 4), 4, 4, 4, 4), ((1, 1), 1, 4, 1, 1), ((6,), 6, 3, 4, 5)]
SIZES += [((2,), 12, 12, 8, 4), ((3,), 5, 6, 72, 9)]


def attention(query, key, value, mask=None):
    """PyTorch's own, which wants a mask of two dimensions or more."""
    return F.scaled_dot_product_attention(query, key, value, mask if mask is None or mask.dim() > 1 else mask[None])


def drawn(draw, lead, length, keys, head_dim, value_dim):
    return draw(*lead, length, head_dim), draw(*lead, keys, head_dim), draw(*lead, keys, value_dim)


def sized(size):
    """How pytest calls a size."""
    lead, length, keys, head_dim, value_dim = size
    return f"{(*lead, length, head_dim)}, {(*lead, keys, head_dim)}, {(*lead, keys, value_dim)}"


# ------------------------------------------------------------------------- shape, dtype, plain numbers


@pytest.mark.parametrize("size", DISTINCT + SIZES, ids=sized)
def test_output_shape(learner, draw, size):
    """the output has the shape (..., L, Ev)"""
    lead, length, _, _, value_dim = size
    shaped(learner.scaled_dot_product_attention.ahead(*drawn(draw, *size)), (*lead, length, value_dim))


@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_output_dtype(learner, draw, dtype):
    """the output has the dtype of the inputs"""
    given = (x.to(dtype) for x in drawn(draw, (2, 3), 5, 7, 4, 6))
    typed(learner.scaled_dot_product_attention.ahead(*given), dtype)


@pytest.mark.parametrize("size", DISTINCT, ids=sized)
def test_numbers(learner, draw, size):
    """without a mask the numbers are those of F.scaled_dot_product_attention"""
    given = drawn(draw, *size)
    close(learner.scaled_dot_product_attention.ahead(*given), attention(*given))


@pytest.mark.parametrize("size", SIZES, ids=sized)
def test_numbers_of_other_sizes(learner, draw, size):
    """without a mask the numbers are right for other sizes, and where sizes coincide"""
    for scale in (0.3, 1.0, 3.0):
        given = [x * scale for x in drawn(draw, *size)]
        close(learner.scaled_dot_product_attention.ahead(*given), attention(*given))


# ------------------------------------------------------------------------------------------------ rules


@pytest.mark.parametrize("length", [2, 3], ids="L={}".format)
def test_one_key_gives_its_value(learner, draw, length):
    """with a single key every query gets that key's value"""
    value = torch.tensor([[3.0, 1.0, 4.0, 2.0]])
    out = learner.scaled_dot_product_attention(draw(length, 5).float(), draw(1, 5).float(), value)
    shaped(out, (length, 4))
    numbers(
        out.flatten().tolist(), [3, 1, 4, 2] * length, "the value, for each query", "the output is not the one value"
    )


@pytest.mark.parametrize("scores", ["zero", "the same"])
def test_equal_scores_give_the_mean_of_the_values(learner, draw, scores):
    """equal scores give the mean of the values"""
    value = torch.tensor([[0.0], [3.0], [9.0]], dtype=torch.float64)
    query, key = torch.zeros(2, 4).double(), draw(3, 4)
    if scores == "the same":
        query, key = draw(2, 4), draw(1, 4).expand(3, 4)
    out = learner.scaled_dot_product_attention(query, key, value)
    shaped(out, (2, 1))
    numbers(out.flatten().tolist(), [4, 4], "the mean of 0, 3 and 9", "the output is not the mean of the values")


def test_scores_are_scaled_by_the_root_of_head_dim(learner):
    """the scores are scaled by 1/sqrt(E)"""
    # scaled, the two scores are ln 3 apart, so that the weights are 1/4 and 3/4
    found = []
    for head_dim in (4, 9, 16):
        key = torch.tensor([[-0.5], [0.5]]).double().expand(2, head_dim) * math.log(3) / math.sqrt(head_dim)
        out = learner.scaled_dot_product_attention(torch.ones(1, head_dim).double(), key, torch.eye(2).double())
        shaped(out, (1, 2))
        found.append(out[0, 1].item())
    numbers(
        found,
        [0.75] * 3,
        "the larger of two weights, with E = 4, 9 and 16",
        "these are not the weights of scores times 1/sqrt(E)",
    )


# ------------------------------------------------------------------------------------------------ masks


def test_true_means_may_attend(learner, draw):
    """a mask's True means may attend"""
    value = torch.tensor([[1.0], [2.0], [4.0], [8.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False, False], [False, False, True, False], [True, False, False, True]])
    out = learner.scaled_dot_product_attention(torch.zeros(3, 5).double(), draw(4, 5), value, mask)
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
    mask = draw.mask(*shape)
    close(learner.scaled_dot_product_attention.ahead(query, key, value, mask), attention(query, key, value, mask))


def test_masks_with_a_full_row(learner, draw):
    """a mask may allow everything to one query, or to all"""
    query, key, value = drawn(draw, (2, 3), 5, 7, 4, 6)
    mask = draw.mask(2, 3, 5, 7)
    mask[..., 1, :] = True
    masks = (mask, mask[0, 0], torch.ones(5, 7, dtype=torch.bool))
    calls = [(query, key, value, given) for given in masks]
    close_each(learner.scaled_dot_product_attention.several(*calls), [attention(*call) for call in calls])


def test_masks_of_many_queries(learner, draw):
    """one row of a mask is for all queries, however many there are"""
    calls = [(*drawn(draw, (), length, 4, 2, 3), draw.mask(*shape)) for length in (1, 600) for shape in ((4,), (1, 4))]
    close_each(learner.scaled_dot_product_attention.several(*calls), [attention(*call) for call in calls])


def test_masks_of_many_keys(learner, draw):
    """a mask may hide the first thousands of keys"""
    given = drawn(draw, (2,), 3, 2100, 4, 2)
    mask = torch.arange(2100) >= torch.tensor([2060, 2096, 40])[:, None]
    close(learner.scaled_dot_product_attention.ahead(*given, mask), attention(*given, mask))


def test_masks_of_colliding_sizes(learner, draw):
    """a mask broadcasts when all sizes are the same"""
    query, key, value = drawn(draw, (4, 4), 4, 4, 4, 4)
    shapes = [(4,), (4, 4), (4, 4, 4), (4, 1, 4, 4), (4, 1, 1, 4), (4, 4, 4, 4)]
    calls = [(query, key, value, draw.mask(*shape)) for shape in shapes]
    names = [f"the output with a mask {shape}" for shape in shapes]
    close_each(learner.scaled_dot_product_attention.several(*calls), [attention(*call) for call in calls], names)


@pytest.mark.parametrize("size", DISTINCT + SIZES, ids=sized)
def test_masks_of_other_sizes(learner, draw, size):
    """masks are right for other sizes, and where sizes coincide"""
    lead, length, keys, _, _ = size
    for scale, axes in ((0.3, lead), (1.0, lead[1:]), (3.0, lead)):
        given = [x * scale for x in drawn(draw, *size)]
        calls = [(*given, mask) for mask in (draw.mask(length, keys), draw.mask(*axes, length, keys))]
        close_each(learner.scaled_dot_product_attention.several(*calls), [attention(*call) for call in calls])


def test_masked_keys_have_no_influence(learner, draw):
    """a key that may not be seen has no influence"""
    query, key, value = drawn(draw, (2,), 5, 7, 4, 6)
    mask = draw.mask(7)
    wanted = attention(query, key, value, mask)
    key[:, ~mask], value[:, ~mask] = 50.0, 1e30
    out = learner.scaled_dot_product_attention.ahead(query, key, value, mask)
    close(out, wanted, "the output with other numbers in the masked keys and values")


def test_rows_of_zeros_are_no_mask(learner, draw):
    """a score of 0 is a score: rows of zeros count where the mask allows them"""
    query, key, value = drawn(draw, (2, 3), 5, 7, 4, 6)
    query[..., 2, :], key[..., 4:, :], value[..., 5:, :] = 0.0, 0.0, 0.0
    mask = draw.mask(2, 3, 5, 7)
    mask[..., 4], mask[..., 0, :] = True, True
    calls = [(query, key, value, given) for given in (None, mask, mask[0, 0])]
    close_each(learner.scaled_dot_product_attention.several(*calls), [attention(*call) for call in calls])


# ------------------------------------------------------------------------------------------- empty rows


@pytest.mark.parametrize("lead", [(2, 3), (3,), ()], ids=lambda lead: f"mask {(*lead, 5, 7)}")
def test_a_query_without_keys_gets_zeros(learner, draw, lead):
    """a query that may attend to nothing gets a row of zeros"""
    query, key, value = drawn(draw, lead, 5, 7, 4, 6)
    mask = draw.mask(*lead, 5, 7)
    mask[..., 2, :] = False
    out = learner.scaled_dot_product_attention(query, key, value, mask)
    shaped(out, (*lead, 5, 6))
    holds(not out.isnan().any(), "NaN where a query may attend to nothing", "zeros", "NaN")
    numbers(
        out[(0,) * len(lead)][2].tolist(),
        [0.0] * 6,
        "the row without keys",
        "the row of a query that may attend to nothing is not zero",
    )
    close(out, attention(query, key, value, mask))


def test_some_queries_without_keys(learner, draw):
    """queries of one sequence may see something where those of another see nothing"""
    query, key, value = drawn(draw, (2, 3), 5, 7, 4, 6)
    mask = draw.mask(2, 1, 5, 7)
    mask[0, 0, 2], mask[1, 0, 4] = False, False
    close(learner.scaled_dot_product_attention.ahead(query, key, value, mask), attention(query, key, value, mask))


def test_mask_of_one_column(learner, draw):
    """a mask (L, 1) allows each query everything or nothing"""
    query, key, value = drawn(draw, (2, 3), 5, 7, 4, 6)
    mask = torch.tensor([[True], [True], [False], [True], [False]])
    close(learner.scaled_dot_product_attention.ahead(query, key, value, mask), attention(query, key, value, mask))


@pytest.mark.parametrize(
    "size", [((2,), 3, 4), ((), 1, 5), ((2,), 3, 1), ((1,), 1, 1)], ids=lambda size: f"L={size[1]}, S={size[2]}"
)
def test_nothing_allowed_at_all(learner, draw, size):
    """a mask that allows nothing gives zeros"""
    lead, length, keys = size
    query, key, value = drawn(draw, lead, length, keys, 8, 5)
    out = learner.scaled_dot_product_attention.ahead(query, key, value, torch.zeros(length, keys, dtype=torch.bool))
    close(out, torch.zeros(*lead, length, 5, dtype=torch.float64))


# --------------------------------------------------------------------------------- half precision, large scores


def in_dtype(learner, draw, dtype, mask):
    """The numbers are right, as far as the dtype goes."""
    given = [x.to(dtype) for x in drawn(draw, (2, 3), 5, 7, 4, 6)]
    wanted = attention(*[x.double() for x in given], mask)
    close(learner.scaled_dot_product_attention.ahead(*given, mask), wanted.to(dtype), tolerance=HALF[dtype])


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_numbers_in_each_dtype(learner, draw, dtype):
    """the numbers are right in float16, bfloat16 and float32"""
    in_dtype(learner, draw, dtype, None)


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_masks_in_each_dtype(learner, draw, dtype):
    """the numbers are right with a mask in float16, bfloat16 and float32"""
    in_dtype(learner, draw, dtype, draw.mask(5, 7))


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_empty_rows_in_each_dtype(learner, draw, dtype):
    """a query that may attend to nothing gets zeros in float16, bfloat16 and float32"""
    mask = draw.mask(5, 7)
    mask[1] = False
    in_dtype(learner, draw, dtype, mask)


@pytest.mark.parametrize("dtype", list(HALF)[1:], ids=short)
def test_large_values(learner, draw, dtype):
    """values near 1e6 are averaged as others are"""
    query, key, value = (x.to(dtype) for x in drawn(draw, (2, 3), 5, 7, 4, 6))
    value = value * 1e6
    wanted = attention(query.double(), key.double(), value.double()).to(dtype)
    close(learner.scaled_dot_product_attention.ahead(query, key, value), wanted, tolerance=HALF[dtype])


@each(("dtype", "sign", "head_dim"), HALF, (1, -1), (8, 128), ids=(short, {1: "+1e4", -1: "-1e4"}.get, "E={}".format))
def test_large_scores_are_safe(learner, dtype, sign, head_dim):
    """scores of 1e4 are safe"""
    # with E = 128 the products pass 65504, float16's largest number; scaled, they are near 1e4
    top = round(math.sqrt(1.4e4 / math.sqrt(head_dim)))
    query = torch.full((2, head_dim), float(top * sign), dtype=dtype)
    key = torch.stack([torch.full((head_dim,), top + shift) for shift in (0.0, -1.0, -2.0, 1.0)]).to(dtype)
    value = torch.tensor([[1.0], [2.0], [3.0], [4.0]], dtype=dtype)
    # the key with the largest score is out of the second query's sight
    hidden = [True, True, True, False] if sign > 0 else [True, True, False, True]
    mask = torch.tensor([[True] * 4, hidden])
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


def test_large_random_scores_are_safe(learner, draw):
    """scores of 1e4 are safe where a query sees a single key, or few"""
    query, key, value = drawn(draw, (2, 3), 5, 7, 4, 6)
    query[..., 0, :], query[..., 1, :] = -query[..., 0, :].abs() - 1, query[..., 1, :].abs() + 1
    key[0] = key[0].abs() + 1  # so that the first query has scores far below zero alone
    factor = (1.4e4 / (query @ key.transpose(-2, -1) / 2).abs().max()).sqrt()
    single = torch.eye(5, 7, dtype=torch.bool)
    for mask in (None, draw.mask(5, 7), draw.mask(2, 1, 5, 7), single):
        given = (query * factor, key * factor, value, mask)
        # at scores of 1e4, float32 is off by a thousandth
        close(learner.scaled_dot_product_attention.ahead(*given), attention(*given), tolerance=1e-2)


# -------------------------------------------------------------------------------------------- gradients


NAMES = ("query", "key", "value")


def gradients_agree(learner, given, mask, cotangent, tolerance=5e-6, leaves=NAMES):
    """The gradients of query, key and value are right, or of those that want one."""
    asked = learner.scaled_dot_product_attention.backward(
        cotangent, *given, mask, leaves=[name in leaves for name in NAMES]
    )
    leaf = {id(x): x.detach().double().requires_grad_() for x in given}
    (attention(*(leaf[id(x)] for x in given), mask) * cotangent.double()).sum().backward()
    wanted = {name: leaf[id(x)].grad.nan_to_num().to(cotangent.dtype) for name, x in zip(NAMES, given, strict=True)}
    found = dict(zip(NAMES, asked.wait().inputs, strict=True))
    gradients(found, {name: wanted[name] for name in leaves}, tolerance)


@pytest.mark.parametrize("kind", ["no mask", "mask", "self-attention"])
def test_gradients(learner, draw, kind):
    """the gradients are right"""
    lead, length, keys = {"no mask": ((2, 3), 5, 7), "mask": ((2, 1, 3), 4, 4), "self-attention": ((2,), 5, 5)}[kind]
    given = drawn(draw, lead, length, keys, 4, 4 if kind == "self-attention" else 6)
    given = (given[0],) * 3 if kind == "self-attention" else given
    mask = {"no mask": None, "mask": draw.mask(4), "self-attention": draw.mask(5, 5)}[kind]
    gradients_agree(learner, given, mask, draw(*lead, length, given[2].size(-1)))


def test_gradients_of_one_query(learner, draw):
    """the gradients are right for a single query"""
    gradients_agree(learner, drawn(draw, (), 1, 7, 4, 6), None, draw(1, 6))


def test_gradients_of_one_input(learner, draw):
    """query, key or value alone may want a gradient"""
    given, cotangent = drawn(draw, (2,), 5, 7, 4, 6), draw(2, 5, 6)
    for name in NAMES:
        gradients_agree(learner, given, draw.mask(5, 7), cotangent, leaves=(name,))


def test_gradients_of_empty_rows(learner, draw):
    """the gradients are right and finite where a query may attend to nothing"""
    mask = draw.mask(2, 1, 5, 7)
    mask[0, 0, 2] = False
    # a division by the tiniest number would overflow
    gradients_agree(learner, drawn(draw, (2, 3), 5, 7, 4, 6), mask, draw(2, 3, 5, 6, scale=1e3))


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_gradients_in_each_dtype(learner, draw, dtype):
    """the gradients are right in float16, bfloat16 and float32"""
    given = [x.to(dtype) for x in drawn(draw, (2, 3), 5, 7, 4, 6)]
    gradients_agree(learner, given, draw.mask(2, 1, 5, 7), draw(2, 3, 5, 6).to(dtype), 3 * HALF[dtype])


@each(("dtype", "sign"), list(HALF)[:3], (1, -1), ids=(short, {1: "scores above 16", -1: "scores below -16"}.get))
def test_gradients_of_empty_rows_in_each_dtype(learner, draw, dtype, sign):
    """the gradients are finite where a query may attend to nothing, in each dtype and whatever its scores"""
    query, key, value = drawn(draw, (2, 3), 5, 7, 4, 6)
    key = 0.5 * key + 6.0
    mask = draw.mask(2, 1, 5, 7)
    mask[0, 0, 2], mask[1, 0, 2] = False, False
    given = [x.to(dtype) for x in (query * 0.3, key, value)]
    given[0][..., 2, :] = 6.0 * sign  # its scores are near 72
    gradients_agree(learner, given, mask, draw(2, 3, 5, 6).to(dtype), 5 * HALF[dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=short)
def test_gradients_beside_large_masked_scores(learner, draw, dtype):
    """the gradients are right where a masked key has a score of 1e4"""
    query, key, value = drawn(draw, (2, 3), 5, 7, 4, 6)
    mask = draw.mask(5, 7)
    mask[:, 3:5], mask[:, 0] = False, True
    key[..., 3:5, :] *= 1e4
    given = [x.to(dtype) for x in (query, key, value)]
    gradients_agree(learner, given, mask, draw(2, 3, 5, 6).to(dtype), 2 * HALF[dtype])


# -------------------------------------------------------------------------------------------------- use


def test_inputs_are_not_modified(learner, draw):
    """the inputs are not modified"""
    query, key, value = drawn(draw, (2, 3), 5, 7, 4, 6)
    mask, row = draw.mask(5, 7), draw.mask(7)
    mask[2] = False
    flat, half = [x[0, 0] for x in (query, key, value)], [x.half() for x in (query, key, value)]
    column = mask[:, :1] | True
    column[2] = False
    masks, padding = mask.repeat(2, 3, 1, 1), draw.mask(2, 1, 1, 7)
    masked = [[query, key, value, each] for each in (mask, masks, padding)]
    single = [query, key[..., :1, :].contiguous(), value[..., :1, :].contiguous()]
    for given in ([query, key, value], *masked, [*flat, row], [*half, column], single):
        _, after, _ = learner.scaled_dot_product_attention.echo(*given)
        for name, was, now in zip(("query", "key", "value", "mask"), given, after, strict=False):
            holds(was.shape == now.shape, f"{name} changed its shape", str(tuple(was.shape)), str(tuple(now.shape)))
            holds(
                torch.equal(was, now) and was.dtype == now.dtype,
                f"{name} was modified in place",
                "as it was",
                "other numbers",
            )


def test_a_call_changes_nothing(learner, draw):
    """a call leaves PyTorch's settings as they were"""
    changed = learner.scaled_dot_product_attention.changes(*drawn(draw, (2, 3), 5, 7, 4, 6), draw.mask(5, 7))
    holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))


def test_the_same_call_twice(learner, draw):
    """the same call twice gives the same numbers"""
    given = (*drawn(draw, (2, 3), 5, 7, 4, 6), draw.mask(5, 7))
    first, second = learner.scaled_dot_product_attention.several(given, given).wait()
    shaped(first, (2, 3, 5, 6))
    close(second, first, "the second output", tolerance=2e-14)


def test_self_attention(learner, draw):
    """query, key and value may be one tensor"""
    x = draw(2, 3, 5, 4)
    for mask in (None, torch.ones(5, 5, dtype=torch.bool).tril()):
        close(learner.scaled_dot_product_attention.ahead(x, x, x, mask), attention(x, x, x, mask))


def test_strides_do_not_matter(learner, draw):
    """transposed and expanded inputs are taken as they are"""
    query, key = draw(2, 5, 3, 4).transpose(1, 2), draw(2, 4, 3, 7).permute(0, 2, 3, 1)
    value = draw(1, 1, 7, 6).expand(2, 3, 7, 6)
    for mask in (None, draw.mask(7, 5).T, draw.mask(1, 7).expand(5, 7)):
        close(
            learner.scaled_dot_product_attention.ahead(query, key, value, mask),
            attention(query.contiguous(), key.contiguous(), value.contiguous(), mask).nan_to_num(),
        )


def test_calls_do_not_depend_on_each_other(learner, draw):
    """sizes, masks and numbers may change from call to call, in the same memory too"""
    sizes = [((2,), 5, 7, 4, 6), ((), 3, 4, 4, 6), ((2,), 5, 7, 4, 6), ((2,), 5, 7, 4, 6)]
    calls = [(*drawn(draw, *size), mask) for size in sizes for mask in (draw.mask(*size[1:3]), None)]
    close_each(learner.scaled_dot_product_attention.several(*calls), [attention(*call) for call in calls])
    calls = [(*drawn(draw, *sizes[0]), draw.mask(5, 7)) for _ in range(3)]
    close_each(learner.scaled_dot_product_attention.several(*calls, reuse=True), [attention(*call) for call in calls])


def test_many_keys(learner, draw):
    """there may be more keys than a block of an online softmax holds"""
    for lead, length, keys in (((2,), 70, 300), ((), 300, 300), ((), 1100, 3), ((), 2, 3000)):
        query, key, value = drawn(draw, lead, length, keys, 8, 4)
        for mask in (None, draw.mask(length, keys)):
            wanted = attention(query, key, value, mask)
            close(learner.scaled_dot_product_attention.ahead(query, key, value, mask), wanted)


def test_mask_by_keyword(learner, draw):
    """the arguments are named query, key, value and mask"""
    query, key, value = drawn(draw, (2,), 5, 7, 4, 6)
    mask = draw.mask(5, 7)
    out = learner.scaled_dot_product_attention.ahead(query=query, key=key, value=value, mask=mask)
    close(out, attention(query, key, value, mask))


# -------------------------------------------------------------------------------------------- precision


def test_float64_precision(learner, draw):
    """float64 in, float64 precision out"""
    given = drawn(draw, (2, 3), 4, 7, 5, 6)  # the root of 5 is no float32
    for mask in (None, draw.mask(4, 7)):
        precise(learner.scaled_dot_product_attention.ahead(*given, mask), attention(*given, mask))
