"""In the style of a model library: repeat_kv, eager_attention_forward chosen from a dictionary, float32 softmax."""
# star: none

import math
import warnings
from collections import OrderedDict
from enum import Enum
from typing import Optional

import torch
import torch.nn as nn


class AttentionImplementation(str, Enum):
    EAGER = "eager"
    MATH = "math"


def repeat_kv(hidden_states: torch.Tensor, n_rep: int) -> torch.Tensor:
    """
    This is the equivalent of torch.repeat_interleave(x, dim=1, repeats=n_rep). The hidden states go from (batch,
    num_key_value_heads, seqlen, head_dim) to (batch, num_attention_heads, seqlen, head_dim)
    """
    batch, num_key_value_heads, slen, head_dim = hidden_states.shape
    if n_rep == 1:
        return hidden_states
    hidden_states = hidden_states[:, :, None, :, :].expand(batch, num_key_value_heads, n_rep, slen, head_dim)
    return hidden_states.reshape(batch, num_key_value_heads * n_rep, slen, head_dim)


def eager_attention_forward(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    key_states = repeat_kv(key, module.num_key_value_groups)
    value_states = repeat_kv(value, module.num_key_value_groups)
    attn_weights = torch.matmul(query * scaling, key_states.transpose(2, 3))
    if attention_mask is not None:
        attn_weights = attn_weights.masked_fill(~attention_mask, torch.finfo(attn_weights.dtype).min)
    # upcast attention to fp32
    upcast = torch.float32 if query.dtype.itemsize < 4 else query.dtype
    attn_weights = nn.functional.softmax(attn_weights, dim=-1, dtype=upcast).to(query.dtype)
    if attention_mask is not None:
        attn_weights = attn_weights * attention_mask
    attn_weights = nn.functional.dropout(attn_weights, p=dropout, training=module.training)
    attn_output = torch.matmul(attn_weights, value_states).transpose(1, 2).contiguous()
    return attn_output, attn_weights


ALL_ATTENTION_FUNCTIONS = OrderedDict({AttentionImplementation.EAGER: eager_attention_forward})


class GroupedQueryAttention(nn.Module):
    """Multi-headed attention from 'Attention Is All You Need' paper"""

    def __init__(self, d_model, num_heads, num_kv_heads, dropout=0.0, bias=True, layer_idx: Optional[int] = 0):
        super().__init__()
        if layer_idx is None:
            warnings.warn(f"Instantiating {type(self).__name__} without passing a `layer_idx` is not recommended.")
        if d_model % num_heads != 0 or num_heads % num_kv_heads != 0:
            raise ValueError(
                f"hidden_size must be divisible by num_heads (got `hidden_size`: {d_model}"
                f", `num_heads`: {num_heads} and `num_key_value_heads`: {num_kv_heads})."
            )
        self.head_dim = d_model // num_heads
        self.num_key_value_groups = num_heads // num_kv_heads
        self.scaling = 1 / math.sqrt(self.head_dim)
        self.attention_dropout = dropout
        self.q_proj = nn.Linear(d_model, num_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(num_heads * self.head_dim, d_model, bias=bias)

    def forward(self, query, key, value, mask=None):
        input_shape = query.shape[:-1]
        query_states = self.q_proj(query).view(*input_shape, -1, self.head_dim).transpose(1, 2)
        key_states = self.k_proj(key).view(*key.shape[:-1], -1, self.head_dim).transpose(1, 2)
        value_states = self.v_proj(value).view(*value.shape[:-1], -1, self.head_dim).transpose(1, 2)
        if mask is not None and mask.dim() == 3:
            mask = mask.unsqueeze(1)
        attention_interface = ALL_ATTENTION_FUNCTIONS["eager"]
        attn_output, attn_weights = attention_interface(
            self, query_states, key_states, value_states, mask, dropout=self.attention_dropout, scaling=self.scaling
        )
        return self.o_proj(attn_output.reshape(*input_shape, -1))
