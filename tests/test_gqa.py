"""Grader of grouped-query attention: katas/attention/ holds what it shares with the other layers."""

import pytest
import torch

from grading.examination.checks import numbers, raises, shaped
from katas.attention.layer_rules import *
from katas.attention.oracle import layer_weights

family = Family("GroupedQueryAttention", kv_heads=2, takes_kv_heads=True)


@pytest.mark.parametrize("kv_heads", [1, 2, 3, 6], ids="num_kv_heads={}".format)
def test_each_query_head_reads_its_own_kv_head(learner, draw, kv_heads):
    """each query head reads its own kv head"""
    # one key; value head n holds the constant n, so each query head's output is the head that it read
    heads, head_dim = 6, 2
    layer = Family("GroupedQueryAttention", kv_heads, True).plain(learner, 12, heads)
    value = torch.zeros(1, 1, 12).double()
    value[..., : kv_heads * head_dim] = torch.arange(kv_heads).repeat_interleave(head_dim)
    out = layer(draw(1, 1, 12), draw(1, 1, 12), value)
    shaped(out, (1, 1, 12))
    wanted = [head // (heads // kv_heads) for head in range(heads)]
    numbers(
        out[0, 0, ::head_dim].tolist(),
        wanted,
        "value head read by query heads 0..5",
        "the output of the query heads is not that of their value heads",
    )


@pytest.mark.parametrize("kv_heads", [2, 3], ids="num_kv_heads={}".format)
def test_scores_come_from_the_same_kv_head(learner, kv_heads):
    """each query head is scored with its own key head"""
    # key s is large in key head s alone, and every value of position s is s: a query head shows the key head it used
    heads, head_dim = 6, 2
    layer = Family("GroupedQueryAttention", kv_heads, True).plain(learner, 12, heads)
    key = torch.zeros(1, kv_heads, 12).double()
    key[0, :, : kv_heads * head_dim] = 40 * torch.eye(kv_heads).repeat_interleave(head_dim, dim=1)
    value = torch.arange(kv_heads).double()[None, :, None].expand(1, kv_heads, 12)
    out = layer(torch.ones(1, 1, 12).double(), key, value)
    shaped(out, (1, 1, 12))
    wanted = [head // (heads // kv_heads) for head in range(heads)]
    numbers(
        out[0, 0, ::head_dim].tolist(),
        wanted,
        "key head used by query heads 0..5",
        "the query heads do not pick what their key heads point at",
    )


def test_query_heads_of_a_group_have_their_own_scores(learner):
    """the query heads of a group have scores of their own"""
    # one kv head, two keys; query head h points at key h, and the value of key s is s
    layer = Family("GroupedQueryAttention", 1, True).plain(learner, 4, 2)
    query = torch.tensor([[[40.0, 0.0, 0.0, 40.0]]]).double()
    key = torch.eye(2, 4)[None].double()
    value = torch.tensor([[[0.0] * 4, [1.0] * 4]]).double()
    out = layer(query, key, value)
    shaped(out, (1, 1, 4))
    numbers(
        out[0, 0].tolist(),
        [0, 0, 1, 1],
        "key picked, by feature of the output",
        "the query heads of a group do not pick what each points at",
    )


from katas.attention.layer_numbers import *


@pytest.mark.parametrize(
    "heads", [(1, 1), (6, 1), (18, 2), (9, 3), (8, 4), (5, 5)], ids=named("num_heads", "num_kv_heads")
)
def test_every_number_of_kv_heads(learner, draw, heads):
    """every num_kv_heads that divides num_heads, 1 and num_heads too"""
    num_heads, kv_heads = heads
    d_model = 4 * num_heads
    weights = layer_weights(draw, d_model, num_heads, kv_heads)
    layer = learner.GroupedQueryAttention(d_model, num_heads, kv_heads).set(weights)
    masks = [None, *(draw.mask(*shape) for shape in mask_shapes(3, 5, 7, num_heads))]
    with_masks(layer, inputs(draw, d_model=d_model), weights, num_heads, masks)


@pytest.mark.parametrize("sizes", [(24, 6, 4), (24, 4, 3), (24, 2, 4)], ids=named("d_model", "H", "K"))
def test_num_heads_must_be_divisible(learner, sizes):
    """ValueError when num_kv_heads does not divide num_heads"""
    call = "GroupedQueryAttention(d_model={}, num_heads={}, num_kv_heads={})".format(*sizes)
    raises("ValueError", lambda: learner.GroupedQueryAttention(*sizes).parameters, call)
