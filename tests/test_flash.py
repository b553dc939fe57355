"""Grader of attention in blocks of keys, and of the merging of two parts.

Where a check names no sizes, they are all different, so that an axis that is taken for another shows.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from grading.candidate.pending import on_arrival
from grading.examination.checks import close, gradients, holds, numbers, precise, raises, shaped, typed
from katas.attention.layer_rules import short

INF = float("inf")
# how far an output of that dtype may be off; lse is never a half type
HALF = {torch.float16: 1e-2, torch.bfloat16: 8e-2, torch.float32: 1e-5, torch.float64: 5e-6}
MASKS = [(7,), (1, 7), (5, 7), (3, 5, 7), (2, 1, 5, 7), (2, 1, 1, 7), (2, 3, 5, 7)]
# leading dimensions, L, S, E, Ev: all different, then the sizes that coincide
SIZES = [((2, 3), 5, 7, 4, 6), ((3,), 4, 9, 6, 2), ((), 5, 7, 4, 6), ((2,), 1, 8, 3, 5)]
SIZES += [((4, 4), 4, 4, 4, 4), ((1,), 3, 1, 2, 3)]
NUMBERS = "the output is not the weighted mean of the values"


def drawn(draw, lead=(2, 3), length=5, keys=7, head_dim=4, value_dim=6):
    return draw(*lead, length, head_dim), draw(*lead, keys, head_dim), draw(*lead, keys, value_dim)


def attention(query, key, value, mask=None):
    """The output by PyTorch's own function, and lse by the formula, in float64."""
    query, key, value = query.double(), key.double(), value.double()
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is None:
        return F.scaled_dot_product_attention(query, key, value), scores.logsumexp(-1)
    mask = mask.expand(scores.shape)
    seen = mask.any(-1)
    lse = scores.masked_fill(~mask & seen[..., None], -INF).logsumexp(-1).masked_fill(~seen, -INF)
    return F.scaled_dot_product_attention(query, key, value, mask), lse


def merged(output_a, lse_a, output_b, lse_b):
    """Two parts in float64, by a softmax over the two."""
    lse = torch.stack([lse_a, lse_b]).double()
    seen = lse.amax(0) > -INF
    weights = lse.masked_fill(~seen, 0.0).softmax(0).masked_fill(~seen, 0.0)[..., None]
    output = weights[0] * output_a.double() + weights[1] * output_b.double()
    return output, lse.masked_fill(~seen, 0.0).logsumexp(0).masked_fill(~seen, -INF)


def parts(draw, lead=(2,), length=5, value_dim=6, scale=2.0):
    """Two parts that could have come from disjoint keys."""
    shape = (*lead, length)
    return draw(*shape, value_dim), draw(*shape, scale=scale), draw(*shape, value_dim), draw(*shape, scale=scale)


def pair(got, name):
    holds(
        isinstance(got, tuple | list) and len(got) == 2 and all(isinstance(each, torch.Tensor) for each in got),
        f"{name} does not return (output, lse)",
        "a tuple of two tensors",
        f"a tuple of {len(got)}" if isinstance(got, tuple | list) else "no tuple",
    )
    return got


@on_arrival
def output_is(got, wanted, tolerance=5e-6, name="blockwise_attention"):
    """The first of two."""
    close(pair(got, name)[0], wanted, "the output", tolerance)


@on_arrival
def lse_is(got, wanted, tolerance=5e-6, name="blockwise_attention"):
    """The second of two; -inf where it is wanted."""
    lse = pair(got, name)[1]
    shaped(lse, tuple(wanted.shape), "lse")
    typed(lse, wanted.dtype, "lse")
    empty = wanted == -INF
    holds(
        bool((lse[empty] == -INF).all()),
        "lse is not -inf where a query sees no key",
        "-inf",
        ", ".join(f"{x:g}" for x in lse[empty].tolist()[:3]),
    )
    close(lse.masked_fill(empty, 0.0), wanted.masked_fill(empty, 0.0), "lse", tolerance)


@on_arrival
def both_shaped(got, lead, length, value_dim):
    output, lse = pair(got, "blockwise_attention")
    shaped(output, (*lead, length, value_dim))
    shaped(lse, (*lead, length), "lse")


@on_arrival
def both_are(got, wanted, tolerance=5e-6, name="blockwise_attention"):
    output_is(got, wanted[0], tolerance, name)
    lse_is(got, wanted[1], tolerance, name)


def sized(size):
    """How pytest calls a size."""
    lead, length, keys, head_dim, value_dim = size
    return f"{(*lead, length, head_dim)}, {(*lead, keys, head_dim)}, {(*lead, keys, value_dim)}"


# ------------------------------------------------------------------------- shape, dtype, one block


@pytest.mark.parametrize("size", SIZES, ids=sized)
def test_shapes(learner, draw, size):
    """blockwise_attention returns an output (..., L, Ev) and lse (..., L)"""
    lead, length, _, _, value_dim = size
    both_shaped(learner.blockwise_attention.ahead(*drawn(draw, *size)), lead, length, value_dim)


@on_arrival
def both_typed(got, output_dtype=None, lse_dtype=None):
    output, lse = pair(got, "blockwise_attention")
    if output_dtype:
        typed(output, output_dtype)
    if lse_dtype:
        typed(lse, lse_dtype, "lse")


@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_output_dtype(learner, draw, dtype):
    """the output has the dtype of the inputs"""
    both_typed(learner.blockwise_attention.ahead(*(x.to(dtype) for x in drawn(draw))), output_dtype=dtype)


@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_lse_dtype(learner, draw, dtype):
    """lse is float64 for float64 inputs and float32 for all others"""
    wanted = torch.float64 if dtype == torch.float64 else torch.float32
    both_typed(learner.blockwise_attention.ahead(*(x.to(dtype) for x in drawn(draw))), lse_dtype=wanted)


def weighed(learner, values, powers, block_sizes, mask=None):
    """One query over keys whose scores are the logs of these powers, with E = 1: the outputs and lses, in blocks of
    each of these sizes, all asked before the first is looked at."""
    query, value = torch.ones(1, 1, dtype=torch.float64), torch.tensor(values, dtype=torch.float64)[:, None]
    key = torch.tensor(powers, dtype=torch.float64).log()[:, None]
    asked = [learner.blockwise_attention.ahead(query, key, value, mask, size) for size in block_sizes]
    return zip(*(two_numbers(each.wait()) for each in asked), strict=True)


def two_numbers(got):
    output, lse = pair(got, "blockwise_attention")
    shaped(output, (1, 1))
    shaped(lse, (1,), "lse")
    return output.item(), lse.item()


def test_one_block_output(learner):
    """in a single block the output is the weighted mean of the values"""
    outputs, _ = weighed(learner, [8.0, 0.0, 16.0], [1.0, 2.0, 5.0], [3])
    numbers(outputs, [11], "(1*8 + 2*0 + 5*16) / 8", NUMBERS)


def test_one_block_lse(learner):
    """in a single block lse is the log of the sum of the exponentials of the scores"""
    _, lses = weighed(learner, [8.0, 0.0, 16.0], [1.0, 2.0, 5.0], [3])
    numbers(lses, [math.log(8)], "ln 8 = ln (1 + 2 + 5)", "lse is not the log of the sum of the exponentials")


def test_scores_are_scaled_by_the_root_of_head_dim(learner):
    """the scores are scaled by 1/sqrt(E)"""
    # scaled, the two scores are ln 3 apart, so that the weights are 1/4 and 3/4
    found = []
    for head_dim in (4, 9, 16):
        key = torch.tensor([[-0.5], [0.5]]).double().expand(2, head_dim) * math.log(3) / math.sqrt(head_dim)
        got = learner.blockwise_attention(torch.ones(1, head_dim).double(), key, torch.eye(2).double(), None, 2)
        output, _ = pair(got, "blockwise_attention")
        shaped(output, (1, 2))
        found.append(output[0, 1].item())
    meaning = "the larger of two weights, with E = 4, 9 and 16"
    numbers(found, [0.75] * 3, meaning, "these are not the weights of scores times 1/sqrt(E)")


@pytest.mark.parametrize("size", SIZES, ids=sized)
def test_numbers_of_one_block(learner, draw, size):
    """with one block the output is that of F.scaled_dot_product_attention"""
    given = drawn(draw, *size)
    output_is(learner.blockwise_attention.ahead(*given, None, size[2]), attention(*given)[0])


# ------------------------------------------------------------------------------------------- several blocks


def test_equal_scores(learner):
    """every key counts once: equal scores give the mean of all the values"""
    found, _ = weighed(learner, [0.0, 5.0, 10.0, 20.0, 40.0], [1.0] * 5, (1, 2, 3, 5))
    numbers(found, [15] * 4, "the mean of five values, in blocks of 1, 2, 3 and 5", "keys are lost, or count twice")


def test_falling_scores(learner):
    """a later block with smaller scores counts less"""
    found, _ = weighed(learner, [16.0, 0.0, 8.0], [5.0, 2.0, 1.0], (1, 2))
    numbers(found, [11] * 2, "(5*16 + 2*0 + 1*8) / 8, in blocks of 1 and 2", "the weights of later keys are wrong")


def test_rising_scores(learner):
    """a later block with larger scores counts more, and what was summed before counts less"""
    found, _ = weighed(learner, [8.0, 0.0, 16.0], [1.0, 2.0, 5.0], (1, 2))
    numbers(found, [11] * 2, "(1*8 + 2*0 + 5*16) / 8, in blocks of 1 and 2", "the weights of earlier keys are wrong")


def test_scores_far_below(learner):
    """a later block with scores far below those before it changes nothing"""
    key = torch.tensor([[0.0], [-800.0], [-1600.0]], dtype=torch.float64)
    query, value = torch.ones(1, 1, dtype=torch.float64), torch.tensor([[3.0], [5.0], [7.0]], dtype=torch.float64)
    for block_size in (1, 2):
        output, lse = pair(learner.blockwise_attention(query, key, value, None, block_size), "blockwise_attention")
        shaped(output, (1, 1))
        shaped(lse, (1,), "lse")
        meaning = "the first value, and a first score of 0"
        numbers([output.item(), lse.item()], [3, 0], meaning, "small scores that come late are not safe")


def test_lse_of_several_blocks(learner):
    """lse is that of all the keys, however they are cut into blocks"""
    orders = ([5.0, 2.0, 1.0], [1.0, 2.0, 5.0], [2.0, 5.0, 1.0])
    found = [lse for powers in orders for lse in list(weighed(learner, [1.0, 2.0, 4.0], powers, (1, 2)))[1]]
    numbers(found, [math.log(8)] * 6, "ln 8 six times", "lse is not the log of the sum over all the keys")


@pytest.mark.parametrize("block_size", [1, 2, 3, 4], ids="block_size={}".format)
@pytest.mark.parametrize("size", SIZES[:3], ids=sized)
def test_numbers_of_several_blocks(learner, draw, size, block_size):
    """with several blocks the output is that of F.scaled_dot_product_attention"""
    given = drawn(draw, *size)
    output_is(learner.blockwise_attention.ahead(*given, None, block_size), attention(*given)[0])


@pytest.mark.parametrize("size", SIZES, ids=sized)
def test_lse_numbers(learner, draw, size):
    """lse is torch.logsumexp of the scores, in blocks of any size"""
    for scale, block_size in ((1.0, 3), (3.0, 2)):
        given = [x * scale for x in drawn(draw, *size)]
        lse_is(learner.blockwise_attention.ahead(*given, None, block_size), attention(*given)[1])


def test_block_larger_than_the_keys(learner, draw):
    """a block may be larger than there are keys"""
    for block_size in (8, 13, 1000):
        given = drawn(draw)
        both_are(learner.blockwise_attention.ahead(*given, None, block_size), attention(*given))


def test_default_block_size(learner, draw):
    """there may be more keys than the default block holds, whole blocks or not"""
    for keys in (33, 64, 75):
        given = drawn(draw, (2,), 3, keys, 4, 5)
        both_are(learner.blockwise_attention.ahead(*given), attention(*given))


# ------------------------------------------------------------------------------------------------ masks


def test_true_means_may_attend(learner):
    """a mask's True means may attend"""
    mask = torch.tensor([[True, False, True]])
    (output,), (lse,) = weighed(learner, [8.0, 0.0, 16.0], [1.0, 2.0, 5.0], [3], mask)
    wanted = [88 / 6, math.log(6)]
    numbers([output, lse], wanted, "(1*8 + 5*16) / 6, and ln 6", "these are not the keys that the mask allows")


@pytest.mark.parametrize("block_size", [1, 2, 3], ids="block_size={}".format)
def test_each_block_has_its_part_of_the_mask(learner, draw, block_size):
    """each block of keys has its own part of the mask"""
    value = torch.tensor([[1.0], [2.0], [4.0], [8.0], [16.0]], dtype=torch.float64)
    # whatever the block, the largest score is seen by each query from its first block on
    mask = torch.tensor([[True, True, True, False, False], [True, True, True, True, False], [True] * 5])
    got = learner.blockwise_attention(torch.zeros(3, 2).double(), draw(5, 2), value, mask, block_size)
    output, _ = pair(got, "blockwise_attention")
    shaped(output, (3, 1))
    meaning = "means of the first 3, 4 and 5 values"
    numbers(output.flatten().tolist(), [7 / 3, 15 / 4, 31 / 5], meaning, "these are not the keys that the mask allows")


@pytest.mark.parametrize("shape", MASKS, ids=str)
def test_masks_broadcast(learner, draw, shape):
    """a mask broadcasts to (..., L, S)"""
    given = (*drawn(draw), draw.mask(*shape))
    both_are(learner.blockwise_attention.ahead(*given, 7), attention(*given))


@pytest.mark.parametrize("block_size", [1, 2, 3], ids="block_size={}".format)
def test_masks_in_blocks(learner, draw, block_size):
    """a query may see nothing in its first block, in one in the middle or in the last"""
    query, key, value = drawn(draw)
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[0, :3], mask[1, 2:5], mask[2, 4:], mask[3, :6], mask[4, 1:] = False, False, False, False, False
    others = draw.mask(2, 1, 5, 7)
    others[0, ..., 3:] = False  # keys that only later entries of the batch see
    for given in ((query, key, value, mask), (query, key, value, others)):
        both_are(learner.blockwise_attention.ahead(*given, block_size), attention(*given))


def test_causal_mask(learner, draw):
    """a causal mask, where the last queries see the most blocks"""
    given = (*drawn(draw, (2,), 9, 9), torch.ones(9, 9, dtype=torch.bool).tril())
    both_are(learner.blockwise_attention.ahead(*given, 2), attention(*given))


def test_masked_keys_have_no_influence(learner, draw):
    """a key that may not be seen has no influence, however large its score is"""
    query, key, value = drawn(draw, (2,))
    mask = draw.mask(7)
    wanted = attention(query, key, value, mask)
    key[:, ~mask], value[:, ~mask] = 300.0, 1e30
    for block_size in (2, 7):
        both_are(learner.blockwise_attention.ahead(query, key, value, mask, block_size), wanted)


# ------------------------------------------------------------------------------------------- empty rows


@pytest.mark.parametrize("block_size", [7, 2], ids="block_size={}".format)
def test_a_query_without_keys(learner, draw, block_size):
    """a query that may attend to nothing gets a row of zeros, and -inf in lse"""
    mask = draw.mask(2, 3, 5, 7)
    mask[..., 2, :] = False
    given = (*drawn(draw), mask)
    output, lse = pair(learner.blockwise_attention(*given, block_size), "blockwise_attention")
    shaped(output, (2, 3, 5, 6))
    shaped(lse, (2, 3, 5), "lse")
    holds(not output.isnan().any(), "NaN where a query may attend to nothing", "zeros", "NaN")
    row, message = output[0, 0, 2].tolist(), "the row of a query that may attend to nothing is not zero"
    numbers(row, [0.0] * 6, "the row without keys", message)
    both_are((output, lse), attention(*given))


def test_mask_of_one_column(learner, draw):
    """a mask (L, 1) allows each query everything or nothing"""
    given = (*drawn(draw), torch.tensor([[True], [True], [False], [True], [False]]))
    for block_size in (7, 3):
        both_are(learner.blockwise_attention.ahead(*given, block_size), attention(*given))


def test_nothing_allowed_at_all(learner, draw):
    """a mask that allows nothing gives zeros and -inf"""
    for lead, length, keys in (((2,), 3, 4), ((), 1, 5)):
        given = (*drawn(draw, lead, length, keys, 4, 5), torch.zeros(length, keys, dtype=torch.bool))
        both_are(learner.blockwise_attention.ahead(*given, 2), attention(*given))


# --------------------------------------------------------------------------------- half precision, large scores


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_output_in_each_dtype(learner, draw, dtype):
    """the output is right in float16, bfloat16 and float32"""
    given = [x.to(dtype) for x in drawn(draw)]
    for mask in (None, draw.mask(5, 7)):
        wanted = attention(*given, mask)[0].to(dtype)
        output_is(learner.blockwise_attention.ahead(*given, mask, 2), wanted, HALF[dtype])


@pytest.mark.parametrize("head_dim", [4, 8], ids="head_dim={}".format)
@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_lse_in_each_dtype(learner, draw, dtype, head_dim):
    """lse has seven digits, as float32 work gives them, for half inputs too"""
    given = [x.to(dtype) for x in drawn(draw, head_dim=head_dim)]
    lse_is(learner.blockwise_attention.ahead(*given, None, 2), attention(*given)[1].float(), 2e-6)


@pytest.mark.parametrize("dtype", list(HALF)[:2], ids=short)
def test_long_sums_of_half_inputs(learner, draw, dtype):
    """sums over thousands of keys are right for half inputs"""
    # of the large values the sum of a single block is more than float16 holds
    for scale in (1.0, 1000.0):
        key, value = torch.zeros(4000, 2, dtype=dtype), draw(4000, 3, scale=scale).abs().to(dtype)
        given = (draw(2, 2).to(dtype), key, value)
        wanted = attention(*given)
        got = learner.blockwise_attention.ahead(*given, None, 100)
        output_is(got, wanted[0].to(dtype), HALF[dtype] / 8)
        lse_is(got, wanted[1].float(), 2e-6)


@pytest.mark.parametrize("dtype", list(HALF)[2:], ids=short)
@pytest.mark.parametrize("sign", [1, -1], ids=["+1e5", "-1e5"])
def test_large_scores_are_safe(learner, dtype, sign):
    """scores of 1e5 are safe, above and below zero"""
    query, value = torch.tensor([[sign * 1e5]], dtype=dtype), torch.tensor([[1.0], [2.0], [4.0], [8.0]], dtype=dtype)
    key = torch.tensor([[0.75], [1.0], [0.875], [1.0]], dtype=dtype)
    for block_size in (4, 1):
        output, lse = pair(learner.blockwise_attention(query, key, value, None, block_size), "blockwise_attention")
        shaped(output, (1, 1))
        shaped(lse, (1,), "lse")
        wanted = [5.0, 1e5 + math.log(2)] if sign > 0 else [1.0, -75000.0]
        numbers([output.item(), lse.item()], wanted, "the output and lse", "large scores are not safe")


def test_queries_far_apart(learner, draw):
    """one query may have scores far below another's"""
    query, key, value = drawn(draw)
    key = key.abs() + 1
    query = query.abs() * torch.tensor([1e4, 1.0, -1e4, 1e-3, -1.0])[:, None].double()
    for block_size in (7, 2):
        wanted = attention(query, key, value)
        both_are(learner.blockwise_attention.ahead(query, key, value, None, block_size), wanted, 1e-5)


# -------------------------------------------------------------------------------------------------- inputs


def unchanged(asked, given, names):
    _, after, _ = asked.echo(*given)
    for name, was, now in zip(names, given, after, strict=False):
        kept = not isinstance(was, torch.Tensor) or (was.dtype == now.dtype and torch.equal(was, now))
        holds(kept, f"{name} was modified in place", "as it was", "other numbers")


def test_inputs_are_not_modified(learner, draw):
    """the inputs are not modified"""
    query, key, value = drawn(draw)
    mask = draw.mask(5, 7)
    mask[2] = False
    single = query.float(), key.float(), value.float()
    masks = (mask, mask.repeat(2, 3, 1, 1), draw.mask(2, 1, 1, 7))
    for given in ((query, key, value, None, 2), *((*single, each, 7) for each in masks)):
        unchanged(learner.blockwise_attention, given, ("query", "key", "value", "mask"))


# -------------------------------------------------------------------------------------------- gradients


def gradients_agree(asked, oracle, given, cotangent, names, tolerance=5e-6, others=(), wanted=()):
    """The gradients of the inputs, or of those wanted, for a random cotangent of one output or of both."""
    leaves = [x.detach().double().requires_grad_() for x in given]
    outputs = oracle(*leaves, *others)
    pairs = zip(outputs, cotangent, strict=True) if isinstance(cotangent, tuple) else [(outputs[0], cotangent)]
    # an lse of -inf has a gradient of zero: the finite ones alone are summed
    sum(torch.where(out.isfinite(), out, 0.0).mul(each.double()).sum() for out, each in pairs).backward()
    rights = [leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in leaves]
    right = {name: each.to(x.dtype) for name, each, x in zip(names, rights, given, strict=True)}
    found = dict(zip(names, asked.wait().inputs, strict=True))
    gradients(found, {name: right[name] for name in wanted or names}, tolerance)


def attention_gradients(learner, given, mask, block_size, cotangent, tolerance=5e-6):
    asked = learner.blockwise_attention.backward(cotangent, *given, mask, block_size)
    gradients_agree(asked, attention, given, cotangent, ("query", "key", "value"), tolerance, (mask,))


@pytest.mark.parametrize("block_size", [7, 2], ids="block_size={}".format)
def test_gradients_of_the_output(learner, draw, block_size):
    """the gradients of the output are right"""
    for mask in (None, draw.mask(5, 7)):
        attention_gradients(learner, drawn(draw), mask, block_size, draw(2, 3, 5, 6))


@pytest.mark.parametrize("block_size", [7, 2], ids="block_size={}".format)
def test_gradients_of_both(learner, draw, block_size):
    """the gradients are right where the output and lse are both used"""
    for mask in (None, draw.mask(2, 1, 5, 7)):
        attention_gradients(learner, drawn(draw), mask, block_size, (draw(2, 3, 5, 6), draw(2, 3, 5)))


def test_gradients_of_one_input(learner, draw):
    """query, key or value alone may want a gradient"""
    names, given, cotangent = ("query", "key", "value"), drawn(draw), (draw(2, 3, 5, 6), draw(2, 3, 5))
    for name in names:
        leaves, mask = [each == name for each in names], draw.mask(5, 7)
        asked = learner.blockwise_attention.backward(cotangent, *given, mask, 3, leaves=leaves)
        gradients_agree(asked, attention, given, cotangent, names, others=(mask,), wanted=(name,))


@pytest.mark.parametrize("block_size", [7, 2], ids="block_size={}".format)
def test_gradients_of_empty_rows(learner, draw, block_size):
    """the gradients are finite, and zero for a query that may attend to nothing"""
    mask = draw.mask(2, 1, 5, 7)
    mask[0, 0, 2], mask[1, 0, 3, :4] = False, False
    attention_gradients(learner, drawn(draw), mask, block_size, draw(2, 3, 5, 6))
    attention_gradients(learner, drawn(draw), mask, block_size, (draw(2, 3, 5, 6), draw(2, 3, 5)))


@pytest.mark.parametrize("block_size", [7, 2], ids="block_size={}".format)
def test_gradients_beside_large_hidden_scores(learner, draw, block_size):
    """the gradients are finite, and right, where a hidden score is far above those that are seen"""
    query, key, value = (x.float() for x in drawn(draw, (2,)))
    mask = draw.mask(5, 7)
    mask[:, 1] = False
    query, key[:, 1] = query.abs() + 1, 100.0
    attention_gradients(learner, (query, key, value), mask, block_size, draw(2, 5, 6).float())


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_gradients_in_each_dtype(learner, draw, dtype):
    """the gradients are right in float16, bfloat16 and float32"""
    given, cotangent = [x.to(dtype) for x in drawn(draw)], (draw(2, 3, 5, 6).to(dtype), draw(2, 3, 5).float())
    attention_gradients(learner, given, draw.mask(5, 7), 3, cotangent, 3 * HALF[dtype])


# -------------------------------------------------------------------------------------------------- use


def test_a_call_changes_nothing(learner, draw):
    """a call leaves PyTorch's settings as they were"""
    changed = learner.blockwise_attention.changes(*drawn(draw), draw.mask(5, 7), 3)
    holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))


def test_self_attention_and_strides(learner, draw):
    """one tensor may be all three inputs, and transposed and expanded ones are taken as they are"""
    x = draw(2, 3, 5, 4)
    query, key = draw(2, 5, 3, 4).transpose(1, 2), draw(2, 4, 3, 7).permute(0, 2, 3, 1)
    strided = (query, key, draw(1, 1, 7, 6).expand(2, 3, 7, 6), draw.mask(7, 5).T)
    for given in ((x, x, x, None), strided):
        both_are(
            learner.blockwise_attention.ahead(*given, 2), attention(*(y.contiguous() for y in given if y is not None))
        )


def test_calls_do_not_depend_on_each_other(learner, draw):
    """sizes, masks and blocks may change from call to call, in the same memory too"""
    calls = [
        (*drawn(draw, *size), mask, block)
        for size in SIZES[:2]
        for mask in (None, draw.mask(size[2]))
        for block in (2, 3)
    ]
    same = [(*drawn(draw), draw.mask(5, 7), 3) for _ in range(3)]
    for given, reuse in ((calls, False), (same, True)):
        values = learner.blockwise_attention.several(*given, reuse=reuse).wait()
        for got, call in zip(values, given, strict=True):
            both_are(got, attention(*call[:4]))


def test_arguments_by_keyword(learner, draw):
    """the arguments are named query, key, value, mask and block_size"""
    query, key, value = drawn(draw)
    given = {"query": query, "key": key, "value": value, "mask": draw.mask(5, 7)}
    both_are(learner.blockwise_attention.ahead(**given, block_size=3), attention(**given))


def test_float64_precision(learner, draw):
    """float64 in, float64 precision out"""
    given = drawn(draw, (2, 3), 4, 7, 5, 6)  # the root of 5 is no float32
    wanted = attention(*given)
    output, lse = pair(learner.blockwise_attention(*given, None, 3), "blockwise_attention")
    precise(output, wanted[0])
    precise(lse, wanted[1], "lse")


def test_block_size_is_checked(learner, draw):
    """ValueError when block_size is less than 1"""
    query, key, value = drawn(draw, (), 2, 3, 2, 2)
    for block_size in (0, -1, -4):
        call = f"blockwise_attention(..., block_size={block_size})"
        raises("ValueError", lambda size=block_size: learner.blockwise_attention(query, key, value, None, size), call)


# ------------------------------------------------------------------------------------------------ memory


def test_memory(learner, draw):
    """no tensor has as many as L x S elements"""
    length, keys = 64, 320
    given = [x.float() for x in drawn(draw, (2,), length, keys, 4, 2)]
    mask = draw.mask(keys).expand(2, length, keys)
    peak, scores = learner.blockwise_attention.peak(*given, mask, 32), 4 * 2 * length * keys
    message = "a call holds as much memory as all the scores together"
    holds(peak < scores, message, f"less than {scores:,} bytes at a time, L = 64, S = 320", f"{peak:,} bytes")


# ------------------------------------------------------------------------------------------------- merge


def merge_is(got, wanted, tolerance=5e-6):
    both_are(got, wanted, tolerance, "merge")


@pytest.mark.parametrize("lead", [(2, 3), (), (1,)], ids=str)
def test_merge_shapes(learner, draw, lead):
    """merge returns an output (..., L, Ev) and lse (..., L)"""
    output, lse = pair(learner.merge(*parts(draw, lead)), "merge")
    shaped(output, (*lead, 5, 6))
    shaped(lse, (*lead, 5), "lse")


@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_merge_dtypes(learner, draw, dtype):
    """what merge returns has the dtypes of the parts"""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    given = [x.to(kind) for x, kind in zip(parts(draw), (dtype, wide) * 2, strict=True)]
    output, lse = pair(learner.merge(*given), "merge")
    typed(output, dtype)
    typed(lse, wide, "lse")


def put_together(learner, mean_a, powers_a, mean_b, powers_b):
    """One query, and two parts with these means whose exponentials sum to these powers: two numbers."""
    one = [torch.tensor([[mean_a]]).double(), torch.tensor([powers_a]).double().log()]
    other = [torch.tensor([[mean_b]]).double(), torch.tensor([powers_b]).double().log()]
    output, lse = pair(learner.merge(*one, *other), "merge")
    shaped(output, (1, 1))
    shaped(lse, (1,), "lse")
    return output.item(), lse.item()


def test_merge_of_equal_parts(learner):
    """two parts that count alike give the mean of their outputs"""
    output, _ = put_together(learner, 2.0, 3.0, 6.0, 3.0)
    numbers([output], [4], "the mean of 2 and 6", "the output is not the mean of the two")


def test_merge_output(learner):
    """each part counts as much as its exponentials sum to"""
    found = [put_together(learner, *given)[0] for given in ((8 / 3, 3.0, 16.0, 5.0), (16.0, 5.0, 8 / 3, 3.0))]
    numbers(found, [11, 11], "(3 * 8/3 + 5*16) / 8, in both orders", "the parts do not count by their sums")


def test_merge_lse(learner):
    """the lse of a merge is the log of the sum of the exponentials of both"""
    found = [put_together(learner, 1.0, *given)[1] for given in ((3.0, 2.0, 5.0), (5.0, 2.0, 3.0), (1.0, 2.0, 1.0))]
    wanted = [math.log(8), math.log(8), math.log(2)]
    numbers(found, wanted, "ln 8, ln 8 and ln 2", "lse is not the log of the sum over the keys of both")


@pytest.mark.parametrize("lead", [(2, 3), (), (5,)], ids=str)
def test_merge_numbers(learner, draw, lead):
    """merged parts are what one pass over all the keys gives"""
    given = drawn(draw, lead, 5, 7, 4, 5 if lead == (5,) else 6)
    query, key, value = given
    first, second = (attention(query, key[..., part, :], value[..., part, :]) for part in (slice(0, 3), slice(3, 7)))
    merge_is(learner.merge.ahead(*first, *second), attention(*given))
    merge_is(learner.merge.ahead(*second, *first), attention(*given))


def test_merge_of_many(learner, draw):
    """parts may be merged one after the other, in any order"""
    query, key, value = drawn(draw, (2,), 5, 8, 4, 6)
    each = [attention(query, key[:, i : i + 2], value[:, i : i + 2]) for i in (0, 2, 4, 6)]
    wanted = attention(query, key, value)
    left = pair(learner.merge(*each[3], *each[1]), "merge")
    right = pair(learner.merge(*each[0], *each[2]), "merge")
    merge_is(learner.merge.ahead(*left, *right), wanted)
    merge_is(learner.merge.ahead(*pair(learner.merge(*left, *each[2]), "merge"), *each[0]), wanted)


def test_merge_with_an_empty_part(learner, draw):
    """a part that saw no key changes nothing, whatever its output is"""
    output, lse, other, _ = parts(draw)
    nothing = torch.full_like(lse, -INF)
    for empty in (torch.zeros_like(output), other):
        merge_is(learner.merge.ahead(output, lse, empty, nothing), (output, lse))
        merge_is(learner.merge.ahead(empty, nothing, output, lse), (output, lse))


def test_merge_of_two_empty_parts(learner, draw):
    """where both parts saw no key the output is zero and lse -inf"""
    output_a, lse_a, output_b, lse_b = parts(draw)
    lse_a[:, 1:3], lse_b[:, 2:4] = -INF, -INF
    output_a[:, 1:3], output_b[:, 2:4] = 0.0, 0.0
    got = learner.merge(output_a, lse_a, output_b, lse_b)
    holds(not pair(got, "merge")[0].isnan().any(), "NaN where both parts are empty", "zeros", "NaN")
    merge_is(got, merged(output_a, lse_a, output_b, lse_b))
    # one part is empty in all rows, and the other in some; what they hold there does not count
    output_b[:, 2:4], nothing = 3.0, torch.full_like(lse_a, -INF)
    for given in ((output_a, nothing, output_b, lse_b), (output_b, lse_b, output_a, nothing)):
        merge_is(learner.merge.ahead(*given), merged(*given))


@pytest.mark.parametrize("size", [1e5, -1e5], ids=["+1e5", "-1e5"])
def test_merge_of_large_lse(learner, draw, size):
    """an lse of 1e5 is safe, above and below zero"""
    output_a, lse_a, output_b, lse_b = parts(draw)
    given = (output_a, lse_a + size, output_b, lse_b + size)
    merge_is(learner.merge.ahead(*given), merged(*given), 5e-6)
    far = (output_a, lse_a + size, output_b, lse_b)
    merge_is(learner.merge.ahead(*far), merged(*far), 5e-6)


def test_merge_of_queries_far_apart(learner, draw):
    """in a merge one query may have an lse far below another's"""
    output_a, lse_a, output_b, lse_b = parts(draw)
    far = torch.tensor([1e4, 0.0, -1e4, -1e3, 0.0]).double()
    given = (output_a, lse_a + far, output_b, lse_b + far)
    merge_is(learner.merge.ahead(*given), merged(*given), 5e-6)


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_merge_in_each_dtype(learner, draw, dtype):
    """merge is right in float16, bfloat16 and float32, and its lse has seven digits"""
    given = [x.to(kind) for x, kind in zip(parts(draw), (dtype, torch.float32) * 2, strict=True)]
    wanted = merged(*given)
    got = learner.merge.ahead(*given)
    output_is(got, wanted[0].to(dtype), HALF[dtype], "merge")
    lse_is(got, wanted[1].float(), 2e-6, "merge")


def test_merge_gradients(learner, draw):
    """the gradients of a merge are right, and finite where parts are empty"""
    names = ("output_a", "lse_a", "output_b", "lse_b")
    for empty in (False, True):
        given = parts(draw)
        if empty:
            given[1][:, 1:3], given[3][:, 2:4] = -INF, -INF
        # the lse of two empty parts is -inf whatever the others are: its gradient may be anything finite
        cotangent = (draw(2, 5, 6), draw(2, 5).masked_fill(merged(*given)[1] == -INF, 0.0))
        gradients_agree(learner.merge.backward(cotangent, *given), merged, given, cotangent, names)


def test_merge_inputs_are_not_modified(learner, draw):
    """the inputs of merge are not modified"""
    given = parts(draw)
    given[1][:, 1], given[3][:, 1:3] = -INF, -INF
    unchanged(learner.merge, given, ("output_a", "lse_a", "output_b", "lse_b"))


def test_merge_arguments_by_keyword(learner, draw):
    """the arguments of merge are named output_a, lse_a, output_b and lse_b"""
    given = parts(draw)
    named = dict(zip(("output_b", "lse_b", "output_a", "lse_a"), given, strict=True))
    merge_is(learner.merge.ahead(**named), merged(*given))


def test_merge_float64_precision(learner, draw):
    """float64 in, float64 precision out of a merge"""
    given = parts(draw)
    wanted = merged(*given)
    output, lse = pair(learner.merge(*given), "merge")
    precise(output, wanted[0])
    precise(lse, wanted[1], "lse")
