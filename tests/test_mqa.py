"""Grader of multi-query attention: katas/attention/ holds what it shares with the other layers."""

import torch

from grading.examination.checks import numbers, shaped
from katas.attention.layer_rules import *

family = Family("MultiQueryAttention", kv_heads=1)


def test_all_heads_read_the_one_value_head(learner, draw, family):
    """all query heads read the one value head"""
    layer = family.plain(learner, 12, 6)
    value = torch.zeros(1, 1, 12).double()
    value[..., :2] = torch.tensor([3.0, 7.0])
    out = layer(draw(1, 1, 12), draw(1, 1, 12), value)
    shaped(out, (1, 1, 12))
    numbers(
        out[0, 0].tolist(),
        [3, 7] * 6,
        "the value head, for each query head",
        "the output is not the one value head, for each query head",
    )


def test_heads_have_their_own_scores(learner, family):
    """each query head has scores of its own"""
    # query head h points at key h, and the value of key s is s
    layer = family.plain(learner, 6, 3)
    query = torch.tensor([[[40.0, 0.0, 0.0, 40.0, -40.0, -40.0]]]).double()
    key = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]).double()
    key = torch.cat([key, torch.zeros(3, 4).double()], dim=1)[None]
    value = torch.arange(3).double()[None, :, None].expand(1, 3, 6)
    out = layer(query, key, value)
    shaped(out, (1, 1, 6))
    numbers(
        out[0, 0].tolist(),
        [0, 0, 1, 1, 2, 2],
        "key picked, by feature of the output",
        "the query heads do not pick what each points at",
    )


from katas.attention.layer_numbers import *
