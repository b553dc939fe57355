"""In the style of annotated implementations: ijbh indices, a subclass of nn.Linear that splits heads, hooks to override."""

import math
from typing import List, Optional

import torch
from torch import nn


class PrepareForMultiHeadAttention(nn.Linear):
    """
    ## Prepare for multi-head attention

    This transforms and splits the vector into heads.
    """

    def __init__(self, d_model: int, heads: int, d_k: int, bias: bool):
        super().__init__(d_model, heads * d_k, bias=bias)
        self.heads = heads
        self.d_k = d_k

    def forward(self, x: torch.Tensor):
        head_shape = x.shape[:-1]
        x = super().forward(x)
        # Split last dimension into heads
        return x.view(*head_shape, self.heads, self.d_k)


class MultiHeadAttention(nn.Module):
    r"""
    ## Multi-Head Attention Module

    $$\mathop{Attention}(Q, K, V) = \underset{seq}{\mathop{softmax}}\Bigg(\frac{Q K^\top}{\sqrt{d_k}}\Bigg)V$$
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"{d_model} features do not divide into {num_heads} heads")
        self.d_k = d_model // num_heads
        self.heads = num_heads
        self.q_proj = PrepareForMultiHeadAttention(d_model, num_heads, self.d_k, bias=bias)
        self.k_proj = PrepareForMultiHeadAttention(d_model, num_heads, self.d_k, bias=bias)
        self.v_proj = PrepareForMultiHeadAttention(d_model, num_heads, self.d_k, bias=bias)
        # Softmax for attention along the last dimension, that of `key`
        self.softmax = nn.Softmax(dim=-1)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.scale = 1 / math.sqrt(self.d_k)
        # We store attentions so that it can be used for logging, or other computations if needed
        self.attn: Optional[torch.Tensor] = None

    def get_scores(self, query: torch.Tensor, key: torch.Tensor):
        # $S_{bhij} = \sum_d Q_{bihd} K_{bjhd}$
        return torch.einsum("bihd,bjhd->bhij", query * self.scale, key)

    def prepare_mask(self, mask: torch.Tensor, query_shape: List[int], key_shape: List[int]):
        if mask.dim() == 2:
            mask = mask.unsqueeze(0)
        if mask.dim() == 3:
            mask = mask.unsqueeze(1)
        assert mask.shape[2] == query_shape[1]
        assert mask.shape[3] == key_shape[1]
        return mask

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: Optional[torch.Tensor] = None,
    ):
        batch_size, seq_len, _ = query.shape
        if mask is not None:
            mask = self.prepare_mask(mask, query.shape, key.shape)
        query = self.q_proj(query)
        key = self.k_proj(key)
        value = self.v_proj(value)
        scores = self.get_scores(query, key)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min)
        attn = self.softmax(scores)
        if mask is not None:
            attn = attn.masked_fill(mask == 0, 0.0)
        self.attn = attn.detach()
        attn = self.dropout(attn)
        x = torch.einsum("bhij,bjhd->bihd", attn, value)
        x = x.reshape(batch_size, seq_len, -1)
        return self.o_proj(x)


def _test_mha():
    """Simple test"""
    from pprint import pprint

    mha = MultiHeadAttention(8, 2)
    x = torch.zeros(1, 3, 8)
    assert mha(x, x, x).shape == x.shape
    pprint(mha.attn)
