"""Grader of causal and additive masks."""

import pytest
import torch

from grading.examination.checks import holds, same, shaped, typed
from katas.attention.layer_rules import short

INF = float("inf")
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def lower_right(query_len, key_len):
    """Key j is allowed to query i when it is not later: j <= i + key_len - query_len."""
    return torch.arange(key_len) <= torch.arange(query_len)[:, None] + key_len - query_len


def sized(size):
    return f"query_len={size[0]}, key_len={size[1]}"


@pytest.mark.parametrize("size", [(3, 3), (1, 1), (2, 5), (1, 4)], ids=sized)
def test_shape(learner, size):
    """the mask has the shape (query_len, key_len)"""
    shaped(learner.causal_mask.ahead(*size), size, "the mask")


def test_mask_is_boolean(learner):
    """the mask is boolean"""
    typed(learner.causal_mask.ahead(3), torch.bool, "the mask")


def test_key_len_defaults_to_query_len(learner):
    """without key_len the mask is square"""
    shaped(learner.causal_mask.ahead(4), (4, 4), "the mask")


@pytest.mark.parametrize("length", [3, 1, 2, 5], ids="query_len={}".format)
def test_a_query_sees_itself_and_what_came_before(learner, length):
    """a position sees itself and what came before it"""
    same(learner.causal_mask.ahead(length), lower_right(length, length))


@pytest.mark.parametrize("size", [(2, 5), (1, 4), (3, 7), (4, 5), (3, 6)], ids=sized)
def test_queries_are_the_last_positions(learner, size):
    """with more keys than queries, the queries are the last positions"""
    same(learner.causal_mask.ahead(*size), lower_right(*size))


def test_key_len_given_and_equal(learner):
    """key_len may be given and equal query_len"""
    same(learner.causal_mask.ahead(4, 4), lower_right(4, 4))


def test_key_len_by_keyword(learner):
    """the arguments of causal_mask are named query_len and key_len"""
    same(learner.causal_mask.ahead(query_len=2, key_len=4), lower_right(2, 4))


def test_every_size(learner):
    """every size up to 8 x 12"""
    for query_len in range(1, 9):
        for key_len in range(query_len, 13):
            same(learner.causal_mask.ahead(query_len, key_len), lower_right(query_len, key_len))


def test_large_mask(learner):
    """masks of some hundreds and thousands of positions"""
    for size in ((96, 200), (33, 600), (300, 300), (40, 2600), (600, 650)):
        same(learner.causal_mask.ahead(*size), lower_right(*size))


def additive(mask, dtype):
    return torch.where(mask, 0.0, -INF).to(dtype)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4)], ids=str)
def test_additive_shape(learner, draw, shape):
    """the additive mask has the shape of the mask"""
    shaped(learner.additive_mask.ahead(draw.mask(*shape)), shape, "the additive mask")


def test_additive_default_dtype(learner):
    """the additive mask is float32 by default"""
    typed(learner.additive_mask.ahead(lower_right(2, 3)), torch.float32, "the additive mask")


def test_additive_is_zero_where_true(learner):
    """the additive mask is 0 where True and -inf where False"""
    mask = lower_right(3, 5)
    out = learner.additive_mask(mask)
    shaped(out, (3, 5), "the additive mask")
    holds(not out.isnan().any(), "NaN in the additive mask", "0 and -inf", "NaN")
    same(out, additive(mask, torch.float32), "the additive mask")


@pytest.mark.parametrize("dtype", DTYPES, ids=short)
def test_additive_in_each_dtype(learner, dtype):
    """the additive mask has the dtype asked for"""
    for mask in (lower_right(3, 4), torch.ones(3, 4, dtype=torch.bool), torch.zeros(2, dtype=torch.bool)):
        same(learner.additive_mask.ahead(mask, dtype), additive(mask, dtype), "the additive mask")


def test_additive_by_keyword(learner):
    """the arguments of additive_mask are named mask and dtype"""
    mask = lower_right(3, 4)
    same(
        learner.additive_mask.ahead(mask=mask, dtype=torch.float64), additive(mask, torch.float64), "the additive mask"
    )


@pytest.mark.parametrize(
    "shape", [(4,), (3, 5), (2, 3, 4), (2, 1, 2, 3, 4), (1, 1), ()], ids=lambda shape: f"mask {shape}"
)
def test_additive_of_any_mask(learner, draw, shape):
    """any mask of any shape has an additive form"""
    mask = draw.mask(*shape) if shape else torch.tensor(False)
    same(learner.additive_mask.ahead(mask), additive(mask, torch.float32), "the additive mask")


@pytest.mark.parametrize("value", [True, False], ids=["all True", "all False"])
def test_additive_of_a_uniform_mask(learner, value):
    """a mask that allows all, or nothing, has an additive form"""
    mask = torch.full((2, 3), value)
    same(learner.additive_mask.ahead(mask), additive(mask, torch.float32), "the additive mask")


def test_additive_of_a_transposed_mask(learner, draw):
    """a transposed and an expanded mask have an additive form"""
    for mask in (draw.mask(4, 3).T, draw.mask(4, 4).T, draw.mask(1, 4).expand(3, 4), lower_right(3, 5).flip(-1)):
        same(learner.additive_mask.ahead(mask), additive(mask, torch.float32), "the additive mask")


def test_mask_is_not_modified(learner, draw):
    """the mask handed in is not modified"""
    for mask in (draw.mask(3, 5), draw.mask(5), draw.mask(2, 3, 5)):
        _, (after,), _ = learner.additive_mask.echo(mask)
        holds(
            torch.equal(mask, after) and after.dtype == torch.bool,
            "the mask was modified in place",
            "as it was",
            "other values",
        )


def test_a_mask_may_change(learner, draw):
    """the same tensor may hold another mask in the next call"""
    masks = [draw.mask(3, 5) for _ in range(3)]
    got = learner.additive_mask.several(*((mask,) for mask in masks), reuse=True).wait()
    for mask, value in zip(masks, got, strict=True):
        same(value, additive(mask, torch.float32), "the additive mask")


# -------------------------------------------------------------------------------------------- use of both


def test_each_mask_is_its_own(learner):
    """each call returns a mask of its own: what is written into one shows in no other"""
    sizes = ((3, 5), (3, 5), (4, 4), (3, 5), (1, 5), (1, 5), (3, 5))
    for value, size in zip(learner.causal_mask.several(*sizes, spoil=True).wait(), sizes, strict=True):
        same(value, lower_right(*size))


def test_each_additive_mask_is_its_own(learner, draw):
    """each call returns an additive mask of its own"""
    mask = draw.mask(3, 5)
    for value in learner.additive_mask.several((mask,), (mask,), (mask,), spoil=True).wait():
        same(value, additive(mask, torch.float32), "the additive mask")


def test_a_call_changes_nothing(learner, draw):
    """a call leaves PyTorch's settings as they were"""
    for changed in (learner.causal_mask.changes(3, 5), learner.additive_mask.changes(draw.mask(3, 5))):
        holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))
