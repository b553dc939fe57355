"""Grader of the backward pass of attention.

Where a check names no sizes, they are all different, so that an axis that is taken for another shows. In a check of a
rule all scores are 0 where nothing else is said, so that weights are plain fractions; and E is 5 where it plays no
part, for a scale of 1/2 undoes a factor of 2.
"""

import math

import pytest
import torch
from torch import Tensor

from grading.candidate.pending import on_arrival
from grading.examination.checks import close, describe, holds, numbers, precise, shaped, typed
from katas.attention.layer_rules import short

WORK = 5e-6  # of float32
HALF = {torch.float16: 1e-3, torch.bfloat16: 8e-3, torch.float32: 1e-5, torch.float64: WORK}
NAMES = ("query", "key", "value")
MASKS = [(7,), (1, 7), (5, 7), (3, 5, 7), (2, 1, 5, 7), (2, 1, 1, 7), (2, 3, 5, 7)]
MASKS_OF_FIVE = [(2, 1, 4, 5, 7), (3, 4, 5, 7)]  # for inputs of five dimensions
# leading dimensions, L, S, E, Ev: all different, then the sizes that coincide
DISTINCT = [((), 5, 7, 4, 6), ((3,), 4, 5, 6, 7), ((2, 3), 5, 7, 4, 6)]
SIZES = [((3,), 1, 7, 4, 4), ((2, 1, 3), 5, 4, 8, 2), ((4, 4), 4, 4, 4, 4), ((1, 1), 1, 4, 1, 1), ((6,), 6, 3, 4, 5)]
SIZES += [((2,), 12, 12, 8, 4), ((3,), 5, 6, 72, 9), ((2,), 6, 1, 4, 5), ((3, 3), 3, 3, 6, 6)]

of_each = pytest.mark.parametrize("name", NAMES[::-1])
in_each_dtype = pytest.mark.parametrize("dtype", HALF, ids=short)


def backward(grad_output, query, key, value, mask=None):
    """PyTorch's gradients, in float64 and rounded once."""
    given = [each.detach().double().clone().requires_grad_() for each in (query, key, value)]
    scores = given[0] @ given[1].mT / math.sqrt(query.size(-1))
    if mask is not None:
        # lowest and not -inf, whose softmax has no gradient
        scores = scores.masked_fill(~mask, -1e300)
    weights = scores.softmax(-1)
    weights = weights if mask is None else weights * mask
    (weights @ given[2] * grad_output.double()).sum().backward()
    return tuple(each.grad.to(query.dtype) for each in given)


def drawn(draw, lead, length, keys, head_dim, value_dim, dtype=torch.float64):
    """grad_output, query, key and value."""
    shapes = (length, value_dim), (length, head_dim), (keys, head_dim), (keys, value_dim)
    return tuple(draw(*lead, *shape).to(dtype) for shape in shapes)


def sized(size):
    """How pytest calls a size."""
    lead, length, keys, head_dim, value_dim = size
    return f"query {(*lead, length, head_dim)}, value {(*lead, keys, value_dim)}"


def double(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def three(got):
    """What is returned are three tensors."""
    right = isinstance(got, tuple | list) and len(got) == 3 and all(isinstance(each, Tensor) for each in got)
    shown = f"{type(got).__name__} of {len(got)}" if isinstance(got, tuple | list) else describe(got)
    holds(right, "the gradients did not come back as three tensors", "grad_query, grad_key, grad_value", shown)
    return got


@on_arrival
def agrees(got, name, wanted, tolerance=WORK):
    """The gradient of one input."""
    at = NAMES.index(name)
    close(three(got)[at], wanted[at], f"the gradient of {name}", tolerance)


@on_arrival
def agree(got, wanted, tolerance=WORK):
    """All three; that of value, which is the simplest, first."""
    for name in NAMES[::-1]:
        agrees(got, name, wanted, tolerance)


@on_arrival
def agree_each(got, wanted):
    """Those of several calls."""
    for each, right in zip(got, wanted, strict=True):
        agree(each, right)


def gradient(learner, name, *given):
    """The gradient of one input, of the right shape."""
    at = NAMES.index(name)
    found = three(learner.attention_backward(*given))[at]
    shaped(found, tuple(given[1 + at].shape), f"the gradient of {name}")
    return found


# ------------------------------------------------------------------------------------------ shape, dtype


@of_each
@pytest.mark.parametrize("size", DISTINCT, ids=sized)
def test_shapes(learner, draw, size, name):
    """each gradient has the shape of its input, in the order query, key, value"""
    gradient(learner, name, *drawn(draw, *size))


@on_arrival
def typed_each(got, dtype):
    """All three have that dtype."""
    for name, each in zip(NAMES, three(got), strict=True):
        typed(each, dtype, f"the gradient of {name}")


@in_each_dtype
def test_dtypes(learner, draw, dtype):
    """each gradient has the dtype of the inputs"""
    typed_each(learner.attention_backward.ahead(*drawn(draw, (2, 3), 5, 7, 4, 6, dtype)), dtype)


# ------------------------------------------------------------------------------------------------- rules


def test_value_of_a_single_key(learner, draw):
    """a single key's value went into every output: its gradient is the sum of grad_output over the queries"""
    grad_output = double([1.0, 2.0, 0.0], [10.0, 0.0, 5.0])
    found = gradient(learner, "value", grad_output, draw(2, 4), draw(1, 4), draw(1, 3))
    numbers(
        found.flatten().tolist(),
        [11, 2, 5],
        "1 2 0 and 10 0 5, added",
        "the gradient of value is not the sum of grad_output over the queries",
    )


def test_value_by_its_weight(learner):
    """a value gets grad_output times its weight"""
    # the scores are 0 and ln 3
    query, key = double([1.0] * 4), double([0.0] * 4, [math.log(3) / 2] * 4)
    found = gradient(learner, "value", double([4.0, 8.0]), query, key, double([1.0, 5.0], [2.0, 7.0]))
    numbers(
        found.flatten().tolist(),
        [1, 2, 3, 6],
        "4 8 times the weights 1/4 and 3/4",
        "the gradient of value is not grad_output times the weights",
    )


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_single_key(learner, draw, name):
    """with a single key the weight is 1 whatever its score: query and key get zeros"""
    found = gradient(learner, name, draw(2, 3), draw(2, 5), draw(1, 5), draw(1, 3))
    numbers(found.flatten().tolist(), [0] * found.numel(), "the weight cannot change", f"a gradient reaches {name}")


@pytest.mark.parametrize("name", NAMES[:2])
def test_equal_values(learner, draw, name):
    """where all values are equal no weight matters: query and key get zeros"""
    value = double([3.0, -1.0]).expand(3, 2).contiguous()
    found = gradient(learner, name, draw(2, 2), draw(2, 5), draw(3, 5), value)
    numbers(found.flatten().tolist(), [0] * found.numel(), "the output cannot change", f"a gradient reaches {name}")


def scores_of(learner, name, head_dim):
    """dLoss/dscores where they are all 0: two queries and three keys, of which one feature is 1 for one row each."""
    value, grad_output = double([0.0], [6.0], [9.0]), double([1.0], [2.0])
    query, key = torch.zeros(2, head_dim).double(), torch.zeros(3, head_dim).double()
    rows = query if name == "key" else key
    rows[range(len(rows)), range(len(rows))] = 1.0
    found = gradient(learner, name, grad_output, query, key, value)
    return found[:, : len(rows)]


@pytest.mark.parametrize("name", NAMES[:2])
def test_scale(learner, name):
    """the gradients of query and key are scaled by 1/sqrt(E), once"""
    found = [scores_of(learner, name, head_dim)[-1, -1].item() for head_dim in (4, 9, 16)]
    wanted = 8 / 3
    numbers(
        found,
        [wanted / 2, wanted / 3, wanted / 4],
        f"a gradient of 8/3 for a score, with E = 4, 9 and 16: that of {name}",
        f"the gradient of {name} is not that of scores times 1/sqrt(E)",
    )


def test_query_by_the_values(learner):
    """a query is drawn to keys whose values beat the mean that its weights give"""
    # the weights are 1/3 each, the mean of 0, 6 and 9 is 5, and key i is feature i
    numbers(
        (2 * scores_of(learner, "query", 4)).flatten().tolist(),
        [-5 / 3, 1 / 3, 4 / 3, -10 / 3, 2 / 3, 8 / 3],
        "weight 1/3 times (0 6 9 minus 5), for grad_output 1 and then 2",
        "the gradient of query is not that of its scores",
    )


def test_key_by_the_values(learner):
    """a key is drawn to queries for which its value beats the mean that their weights give"""
    # query i is feature i
    numbers(
        (2 * scores_of(learner, "key", 4)).flatten().tolist(),
        [-5 / 3, -10 / 3, 1 / 3, 2 / 3, 4 / 3, 8 / 3],
        "weight 1/3 times (0 6 9 minus 5), for grad_output 1 and then 2",
        "the gradient of key is not that of its scores",
    )


@of_each
def test_worked_example(learner, name):
    """the worked example of the contract"""
    query, key = double([2.0, 0.0, 0.0, 0.0]), double([0.0] * 4, [math.log(3), 0.0, 0.0, 0.0])
    found = gradient(learner, name, double([1.0]), query, key, double([0.0], [8.0]))
    up = math.log(3) * 0.75
    wanted = {"query": [up, 0, 0, 0], "key": [-1.5, 0, 0, 0, 1.5, 0, 0, 0], "value": [0.25, 0.75]}[name]
    numbers(
        found.flatten().tolist(),
        wanted,
        f"the gradient of {name} in the example",
        f"the gradient of {name} is not that of the example",
    )


# ----------------------------------------------------------------------------------------------- numbers


@of_each
@pytest.mark.parametrize("size", DISTINCT, ids=sized)
def test_numbers(learner, draw, size, name):
    """without a mask the gradients are those that autograd gives"""
    given = drawn(draw, *size)
    agrees(learner.attention_backward.ahead(*given), name, backward(*given))


@pytest.mark.parametrize("size", SIZES, ids=sized)
def test_numbers_of_other_sizes(learner, draw, size):
    """without a mask the gradients are right for other sizes, and where sizes coincide"""
    for scale in (0.3, 3.0):
        given = [scale * each for each in drawn(draw, *size)]
        agree(learner.attention_backward.ahead(*given), backward(*given), 5 * WORK)


# ------------------------------------------------------------------------------------------------- masks


def test_true_means_may_attend(learner, draw):
    """a mask's True means may attend: value gets grad_output from the queries that see its key"""
    mask = torch.tensor([[True, True, False, False], [False, False, True, False], [True, False, False, True]])
    given = double([2.0], [3.0], [8.0]), torch.zeros(3, 5).double(), draw(4, 5), draw(4, 1)
    numbers(
        gradient(learner, "value", *given, mask).flatten().tolist(),
        [5, 1, 3, 4],
        "2, 3 and 8, shared by the keys that each query sees",
        "the gradient of value is not shared by the keys that the mask allows",
    )


def test_a_hidden_key_gets_nothing(learner, draw):
    """a key that no query may attend to gets zeros, and so does its value"""
    # few keys, and then so many that those of a whole block are hidden, whatever its size
    for mask, hidden in ((torch.tensor([True, False, True]), 1), (torch.arange(300) < 100, 200)):
        given = draw(2, 5), draw(2, 4), draw(len(mask), 4), draw(len(mask), 5)
        for name in NAMES[:0:-1]:
            found = gradient(learner, name, *given, mask)[hidden].tolist()
            meaning, message = f"the {name} that is hidden", f"a gradient reaches a hidden {name}"
            numbers(found, [0] * len(found), meaning, message)


def test_a_query_ignores_hidden_values(learner, draw):
    """what a query may not attend to does not count in its gradient"""
    mask = torch.tensor([True, True, False])
    given = double([3.0]), torch.zeros(1, 4).double(), double([0.0] * 4, [2.0, 4.0, 0.0, 0.0], [9.0] * 4)
    for hidden in (100.0, 1e30):
        found = gradient(learner, "query", *given, double([1.0], [5.0], [hidden]), mask)
        numbers(
            found.flatten().tolist(),
            [3, 6, 0, 0],
            "two keys with weight 1/2 and values 1 and 5, and a third that is hidden",
            "the gradient of query is not that of the keys that the mask allows",
        )


@pytest.mark.parametrize("shape", [*MASKS, *MASKS_OF_FIVE], ids=str)
def test_masks_broadcast(learner, draw, shape):
    """a mask broadcasts to (..., L, S)"""
    lead = (2, 3) if shape in MASKS else (2, 3, 4)
    given = (*drawn(draw, lead, 5, 7, 4, 6), draw.mask(*shape))
    agree(learner.attention_backward.ahead(*given), backward(*given))


def test_masks_of_colliding_sizes(learner, draw):
    """a mask broadcasts where all sizes are the same, and may be causal"""
    given = drawn(draw, (4, 4), 4, 4, 4, 4)
    masks = [draw.mask(*shape) for shape in ((4,), (4, 4), (4, 4, 4), (4, 1, 4, 4), (4, 4, 4, 4))]
    causal = torch.ones(4, 4).tril()
    masks += [causal.bool(), causal.triu(-1).bool()]  # of all that came before, and of a window of two
    calls = [(*given, mask) for mask in masks]
    agree_each(learner.attention_backward.several(*calls), [backward(*call) for call in calls])


def test_masks_with_a_full_row(learner, draw):
    """a mask may allow everything to one query, or to all"""
    given, mask = drawn(draw, (2, 3), 5, 7, 4, 6), draw.mask(2, 3, 5, 7)
    mask[..., 1, :] = True
    calls = [(*given, each) for each in (mask, mask[0, 0], torch.ones(5, 7, dtype=torch.bool))]
    agree_each(learner.attention_backward.several(*calls), [backward(*call) for call in calls])


def test_masks_of_many_queries(learner, draw):
    """one row of a mask is for all queries, however many there are"""
    given = drawn(draw, (), 300, 4, 2, 3)
    calls = [(*given, draw.mask(*shape)) for shape in ((4,), (1, 4))]
    agree_each(learner.attention_backward.several(*calls), [backward(*call) for call in calls])


# -------------------------------------------------------------------------------------------- empty rows


def blind(draw, *shape):
    """A mask in which the second query may attend to nothing."""
    mask = draw.mask(*shape)
    mask[..., 1, :] = False
    return mask


def test_a_query_without_keys_gets_zeros(learner, draw):
    """a query that may attend to nothing gets zeros"""
    given = drawn(draw, (), 3, 4, 5, 6)
    found = gradient(learner, "query", *given, blind(draw, 3, 4))[1]
    numbers(found.tolist(), [0] * 5, "the query without keys", "a gradient reaches a query that may attend to nothing")


@pytest.mark.parametrize("name", NAMES[:0:-1])
def test_a_query_without_keys_adds_nothing(learner, draw, name):
    """a query that may attend to nothing adds nothing to the gradients of key and value"""
    for keys in (3, 1):
        given = draw(1, 5), draw(1, 4), draw(keys, 4), draw(keys, 5)
        found = gradient(learner, name, *given, torch.zeros(1, keys, dtype=torch.bool)).flatten().tolist()
        numbers(found, [0] * len(found), "nothing is attended to", f"a gradient reaches {name}")


@pytest.mark.parametrize("shape", [(5, 7), (2, 1, 5, 7), (2, 3, 5, 7), (5, 1)], ids=str)
def test_empty_rows(learner, draw, shape):
    """the gradients are right and finite where a query may attend to nothing"""
    given = (*drawn(draw, (2, 3), 5, 7, 4, 6), blind(draw, *shape))
    agree(learner.attention_backward.ahead(*given), backward(*given))


@in_each_dtype
def test_empty_rows_in_each_dtype(learner, draw, dtype):
    """the gradients are right in each dtype where a query may attend to nothing, whatever its scores"""
    grad_output, query, key, value = drawn(draw, (2,), 5, 7, 4, 6, dtype)
    query[:, 1] = 200.0
    key[:, 2] = 100.0
    given = grad_output, query, key, value, blind(draw, 5, 7)
    agree(learner.attention_backward.ahead(*given), backward(*given), 20 * HALF[dtype])


# ------------------------------------------------------------------------------------------------ dtypes


@in_each_dtype
def test_numbers_in_each_dtype(learner, draw, dtype):
    """the gradients are right in float16, bfloat16, float32 and float64"""
    given = drawn(draw, (2, 3), 5, 7, 4, 6, dtype)
    agree(learner.attention_backward.ahead(*given), backward(*given), HALF[dtype])


@in_each_dtype
def test_masks_in_each_dtype(learner, draw, dtype):
    """the gradients are right with a mask in float16, bfloat16, float32 and float64"""
    given = (*drawn(draw, (2, 3), 5, 7, 4, 6, dtype), draw.mask(5, 7))
    agree(learner.attention_backward.ahead(*given), backward(*given), HALF[dtype])


@pytest.mark.parametrize("dtype", list(HALF)[:2], ids=short)
def test_half_precision_is_worked_on_in_float32(learner, draw, dtype):
    """half inputs are worked on in float32: values that have much in common leave a small difference"""
    grad_output, query, key, value = drawn(draw, (3,), 5, 40, 64, 6)
    given = [each.to(dtype) for each in (grad_output + 2, query, key, value + 40)]
    agree(learner.attention_backward.ahead(*given), backward(*given), HALF[dtype])


@pytest.mark.parametrize("name", ["query", "key"])
def test_large_gradients_in_half_precision(learner, name):
    """a gradient that half precision can hold is not infinite on the way"""
    grad_output, one = torch.full((1, 1), 2.0), torch.tensor([[240.0] + [0.0] * 15])
    value, other = torch.tensor([[500.0], [-500.0]]), torch.zeros(1, 16)
    # the scores are 0: of these two, what is not zero gives the other its gradient
    query, key = (other, torch.cat([one, -one])) if name == "query" else (one, torch.zeros(2, 16))
    found = gradient(learner, name, *(each.half() for each in (grad_output, query, key, value)))
    wanted = [60000.0] if name == "query" else [30000.0, -30000.0]
    numbers(
        found[:, 0].tolist(), wanted, "240 * 500 / 4, for each of the keys", "the gradient is not that of float32 work"
    )


def test_large_scores(learner, draw):
    """scores of 1e4 are safe"""
    for dtype in (torch.float64, torch.float32, torch.float16):
        grad_output, query, key, value = drawn(draw, (2,), 3, 4, 16, 5)
        query, key = torch.full_like(query, 50.0), torch.full_like(key, 50.0)
        key[:, 1] = 49.0
        given = [each.to(dtype) for each in (grad_output, query, key, value)]
        # a sum of exponentials that is kept as its logarithm has at 1e4 no more than three digits in float32
        agree(learner.attention_backward.ahead(*given), backward(*given), 1e-3 if dtype == torch.float64 else 2e-2)


def test_large_scores_behind_a_mask(learner, draw):
    """masked scores of 1e4 are safe"""
    for sign in (1.0, -1.0):
        grad_output, query, key, value = drawn(draw, (2,), 3, 4, 16, 5)
        query, key = query.abs(), key.clone()
        query[:], key[:, 1] = 50.0, 50.0 * sign
        mask = torch.tensor([True, False, True, True])
        given = [each.float() for each in (grad_output, query, key, value)]
        agree(learner.attention_backward.ahead(*given, mask), backward(*given, mask), 2e-2)


# ------------------------------------------------------------------------------------- inputs as they come


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "a mask"])
def test_inputs_are_not_modified(learner, draw, masked):
    """the inputs are not modified"""
    masks = (blind(draw, 2, 3, 5, 7), draw.mask(2, 1, 1, 7), blind(draw, 5, 7)) if masked else (None, None)
    for dtype, mask in zip((torch.float64, torch.float32, torch.float32), masks, strict=False):
        given = drawn(draw, (2, 3), 5, 7, 4, 6, dtype)
        given = given if mask is None else (*given, mask)
        _, after, _ = learner.attention_backward.echo(*given)
        for name, was, now in zip(("grad_output", *NAMES, "mask"), given, after, strict=False):
            holds(torch.equal(was, now), f"{name} was modified in place", "as it was", "other numbers")


def test_strides_do_not_matter(learner, draw):
    """heads that were split off and expanded inputs are taken as they are"""
    heads = [draw(2, size, 3, 4).transpose(1, 2) for size in (5, 5, 7, 7)]
    expanded = [draw(1, size, 1).expand(3, size, 4) for size in (5, 5, 7, 7)]
    for given in (heads, expanded, [each.mT.contiguous().mT for each in heads]):
        agree(learner.attention_backward.ahead(*given), backward(*given))


def test_one_tensor_for_several(learner, draw):
    """one tensor may be passed for several: each gradient is that of its own place"""
    mask = torch.ones(5, 5).tril().bool()
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        x, grad_output = draw(2, 5, 4).to(dtype), draw(2, 5, 4).to(dtype)
        for given in ((grad_output, x, x, x), (grad_output, x, x, x, mask), (x, x, x, x)):
            agree(learner.attention_backward.ahead(*given), backward(*given), HALF[dtype])


# -------------------------------------------------------------------------------------------------- use


def test_a_call_changes_nothing(learner, draw):
    """a call leaves PyTorch's settings as they were"""
    changed = learner.attention_backward.changes(*drawn(draw, (2,), 3, 4, 5, 6))
    holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))


def test_calls_do_not_depend_on_each_other(learner, draw):
    """sizes, masks and dtypes may change from call to call, in the same memory too"""
    calls = [drawn(draw, *size) for size in DISTINCT] + [drawn(draw, (3,), 4, 5, 6, 7, torch.float32)]
    calls += [(*drawn(draw, (3,), 4, 5, 6, 7), draw.mask(4, 5)) for _ in range(2)]
    for each, right in zip(calls, [backward(*call) for call in calls], strict=True):
        agree(learner.attention_backward.ahead(*each), right, HALF[each[0].dtype])
    calls = [(*drawn(draw, (3,), 4, 5, 6, 7), draw.mask(4, 5)) for _ in range(3)]
    wanted = [backward(*call) for call in calls]
    agree_each(learner.attention_backward.several(*calls, reuse=True), wanted)


def test_each_gradient_is_its_own(learner, draw):
    """each call returns tensors of its own: what is written into one shows in no other"""
    calls = [drawn(draw, (3,), 4, 5, 6, 7) for _ in range(2)]
    calls += [(*calls[0], torch.zeros(4, 5, dtype=torch.bool))] * 2
    agree_each(learner.attention_backward.several(*calls, spoil=True), [backward(*call) for call in calls])


def test_arguments_by_keyword(learner, draw):
    """the arguments are named grad_output, query, key, value and mask"""
    given = (*drawn(draw, (3,), 4, 5, 6, 7), draw.mask(4, 5))
    named = dict(zip(("grad_output", *NAMES, "mask"), given, strict=True))
    agree(learner.attention_backward.ahead(**named), backward(*given))


# ---------------------------------------------------------------------------------------------- precision


@on_arrival
def all_precise(got, wanted):
    """All three come from float64 work."""
    for name, each, right in zip(NAMES, three(got), wanted, strict=True):
        precise(each, right, f"the gradient of {name}")


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "a mask"])
def test_float64_precision(learner, draw, masked):
    """float64 in, float64 precision out"""
    given = drawn(draw, (2, 3), 5, 7, 6, 4)
    given = (*given, draw.mask(5, 7)) if masked else given
    all_precise(learner.attention_backward.ahead(*given), backward(*given))
