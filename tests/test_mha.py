"""Grader of multi-head attention: katas/attention/ holds what it shares with the other layers."""

import pytest
import torch
from torch import nn

from grading.examination.checks import close, numbers, shaped
from katas.attention.layer_rules import *
from katas.attention.oracle import layer_weights

family = Family("MultiHeadAttention", kv_heads=0)


@pytest.mark.parametrize("sizes", BLOCKS, ids=named("H", "E"))
def test_each_head_reads_its_own_block(learner, family, sizes):
    """each head attends by its own block of features"""
    # key s is large in block s alone, so head h picks key h, whose value is h
    heads, head_dim = sizes
    d_model = heads * head_dim
    layer = family.plain(learner, d_model, heads)
    key = 40 * torch.eye(heads).repeat_interleave(head_dim, dim=1)[None].double()
    value = torch.arange(heads).double()[None, :, None].expand(1, heads, d_model)
    out = layer(torch.ones(1, 2, d_model).double(), key, value)
    shaped(out, (1, 2, d_model))
    numbers(
        out[0, 0].tolist(),
        torch.arange(heads).repeat_interleave(head_dim).tolist(),
        "key picked, by feature of the output",
        "the output is not what each head's own block of features points at",
    )


from katas.attention.layer_numbers import *


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
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
    close(layer.ahead(query, key, value), theirs(query, key, value, need_weights=False)[0])
    close(layer.ahead(query, key, value, mask), theirs(query, key, value, attn_mask=~mask, need_weights=False)[0])
