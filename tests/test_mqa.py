"""Grader of kata 6, multi-query attention. Most of its rules are in layer_rules.py, shared with katas 3 and 4."""

import pytest
import torch

from grading.diagnosis.compare import numbers, shaped
from tests.layer_rules import (  # noqa: F401
    Family,
    inputs,
    test_a_layer_is_used_again,
    test_a_query_without_keys_gets_the_bias,
    test_d_model_must_be_divisible,
    test_dropout_acts_on_the_weights,
    test_dropout_differs_between_weights,
    test_dropout_of_everything,
    test_dtype_is_kept,
    test_each_input_has_its_own_projection,
    test_equals_pytorch,
    test_gradients,
    test_heads_are_joined_in_order,
    test_inputs_are_not_modified,
    test_large_scores_are_safe,
    test_mask_by_keyword,
    test_masks,
    test_masks_of_colliding_sizes,
    test_no_dropout_in_eval,
    test_one_head_without_keys,
    test_output_shape,
    test_parameters,
    test_positions_are_not_mixed_with_features,
    test_scale_is_the_root_of_head_dim,
    test_self_attention,
    test_strides_do_not_matter,
)


@pytest.fixture
def family():
    return Family("MultiQueryAttention", kv_heads=1)


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
        "the heads do not all read the one value head",
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
        "the heads do not attend by themselves",
    )
