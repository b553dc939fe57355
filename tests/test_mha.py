"""Grader of kata 3, multi-head attention. Most of its rules are in layer_rules.py, shared with katas 4 and 6."""

import pytest
import torch
from torch import nn

from grading.diagnosis.compare import close, numbers, shaped
from grading.diagnosis.oracle import layer_weights
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
    return Family("MultiHeadAttention", kv_heads=0)


def test_each_head_reads_its_own_block(learner, family):
    """each head attends by its own block of features"""
    # key s is large in block s alone, so head h picks key h, whose value is h
    heads, head_dim = 6, 2
    layer = family.plain(learner, heads * head_dim, heads)
    key = 40 * torch.eye(heads).repeat_interleave(head_dim, dim=1)[None].double()
    value = torch.arange(heads).double()[None, :, None].expand(1, heads, heads * head_dim)
    out = layer(torch.ones(1, 2, heads * head_dim).double(), key, value)
    shaped(out, (1, 2, heads * head_dim))
    wanted = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    numbers(
        out[0, 0].tolist(), wanted, "key picked, by feature of the output", "heads do not read their own blocks"
    )


@pytest.mark.parametrize("bias", [True, False])
def test_equals_nn_multihead_attention(learner, draw, bias):
    """the numbers are those of nn.MultiheadAttention, with copied weights"""
    weights = layer_weights(draw, 24, 6, 6, bias)
    theirs = nn.MultiheadAttention(24, 6, bias=bias, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([weights[f"{name}_proj.weight"] for name in "qkv"]))
        theirs.out_proj.weight.copy_(weights["o_proj.weight"])
        if bias:
            theirs.in_proj_bias.copy_(torch.cat([weights[f"{name}_proj.bias"] for name in "qkv"]))
            theirs.out_proj.bias.copy_(weights["o_proj.bias"])
    layer = learner.MultiHeadAttention(24, 6, bias=bias).set(weights)
    query, key, value = inputs(draw)
    mask = draw.mask(5, 7)
    close(layer(query, key, value), theirs(query, key, value, need_weights=False)[0])
    close(layer(query, key, value, mask), theirs(query, key, value, attn_mask=~mask, need_weights=False)[0])
