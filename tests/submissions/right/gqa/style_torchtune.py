"""In the style of a fine-tuning library: long docstrings, keyword-only inner layer, b s_x n_kv shapes, a test class."""
# star: none

import logging
import math
from typing import Callable, Optional, Union
from unittest import TestCase

import torch
from torch import Tensor, nn
from torch.testing import assert_close

logger = logging.getLogger(__name__)
_MaskType = Union[torch.Tensor, None]


def fixed_init_model(model: nn.Module, min_val: float = 0.0, max_val: float = 1.0) -> None:
    """Deterministic parameters for tests."""
    for _, param in model.named_parameters():
        with torch.no_grad():
            param.copy_(torch.linspace(min_val, max_val, param.numel()).reshape_as(param))


def _sdpa_or_flex_attention() -> Callable:
    """The attention that is called; here there is only one, written out."""

    def _attention_call(q: Tensor, k: Tensor, v: Tensor, mask: _MaskType, dropout_p: float) -> Tensor:
        scores = q.mul(1.0 / math.sqrt(q.shape[-1])).matmul(k.transpose(-1, -2))
        if mask is not None:
            scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1)
        weights = weights if mask is None else torch.where(mask, weights, 0.0)
        return nn.functional.dropout(weights, dropout_p).matmul(v)

    return _attention_call


class GroupedQueryAttention(nn.Module):
    """Grouped-query attention, introduced in https://arxiv.org/abs/2305.13245.

    Args:
        d_model (int): embedding dimension for the model
        num_heads (int): number of query heads
        num_kv_heads (int): number of key and value heads
        dropout (float): dropout value passed onto the attention weights
        bias (bool): whether the projections have a bias

    Raises:
        ValueError: If ``num_heads % num_kv_heads != 0``
        ValueError: If ``embed_dim % num_heads != 0``
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        num_kv_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_heads % num_kv_heads != 0:
            raise ValueError(f"num_heads ({num_heads}) must be divisible by num_kv_heads ({num_kv_heads})")
        if d_model % num_heads != 0:
            raise ValueError(f"embed_dim ({d_model}) must be divisible by num_heads ({num_heads})")
        if dropout < 0 or dropout > 1:
            raise ValueError(f"attn_dropout ({dropout}) must be between 0.0 and 1.0")
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = d_model // num_heads
        self.attn_dropout = dropout
        self.q_proj = nn.Linear(d_model, num_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(num_heads * self.head_dim, d_model, bias=bias)
        self._attention_call = _sdpa_or_flex_attention()

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Optional[_MaskType] = None) -> Tensor:
        # x has shape [b, s_x, d]
        b, s_x, _ = query.shape
        s_y = key.shape[1]
        q_per_kv = self.num_heads // self.num_kv_heads
        q = self.q_proj(query).view(b, s_x, self.num_heads, self.head_dim).transpose(1, 2)
        k = self.k_proj(key).view(b, s_y, -1, self.head_dim).transpose(1, 2)
        v = self.v_proj(value).view(b, s_y, -1, self.head_dim).transpose(1, 2)
        if self.num_heads != self.num_kv_heads:
            expand_shape = (b, self.num_kv_heads, q_per_kv, -1, self.head_dim)
            k = k.unsqueeze(2).expand(expand_shape).flatten(1, 2)
            v = v.unsqueeze(2).expand(expand_shape).flatten(1, 2)
        if mask is not None and mask.ndim == 3:
            mask = mask[:, None, :, :]
        dropout = self.attn_dropout if self.training else 0.0
        output = self._attention_call(q, k, v, mask=mask, dropout_p=dropout)
        output = output.transpose(1, 2).contiguous().view(b, s_x, -1)
        return self.o_proj(output)


class TestMultiHeadAttention(TestCase):
    """Runs with python -m unittest."""

    def test_forward_gqa(self) -> None:
        gqa = GroupedQueryAttention(16, 4, 2)
        fixed_init_model(gqa)
        x = torch.ones(1, 3, 16)
        with torch.no_grad():
            output = gqa(x, x, x)
        assert_close(output[:, 0], output[:, 1])
        self.assertEqual(output.shape, x.shape)
