"""In the style of a code model: baddbmm over heads times length, scripted softmax, half precision carried up."""

import math
from typing import Optional

import torch
import torch.utils.checkpoint
from torch import nn


@torch.jit.script
def upcast_masked_softmax(x: torch.Tensor, mask: torch.Tensor, mask_value: float):
    x = torch.where(mask, x, torch.full_like(x, mask_value))
    x = torch.nn.functional.softmax(x, dim=-1)
    return torch.where(mask, x, torch.zeros_like(x))


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(
                f"`embed_dim` must be divisible by num_heads (got `embed_dim`: {d_model} and `num_heads`: {num_heads})."
            )
        self.embed_dim = d_model
        self.num_heads = num_heads
        self.head_dim = self.embed_dim // self.num_heads
        self.kv_heads = 1
        self.kv_dim = self.kv_heads * self.head_dim
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.kv_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, self.kv_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.attn_dropout = nn.Dropout(dropout)

    def _attn(self, query, key, value, attention_mask=None):
        dtype = query.dtype
        softmax_dtype = torch.float64 if dtype == torch.float64 else torch.float32
        batch_size, query_length, _ = query.shape
        key_length = key.size(-1)
        # (batch_size, query_length, num_heads, head_dim) x (batch_size, head_dim, key_length)
        query = query.reshape(batch_size, query_length * self.num_heads, self.head_dim)
        attn_weights = torch.empty((batch_size, query.size(1), key_length), device=query.device, dtype=softmax_dtype)
        attn_weights = torch.baddbmm(
            attn_weights, query.to(softmax_dtype), key.to(softmax_dtype), beta=0, alpha=1 / math.sqrt(self.head_dim)
        ).view(batch_size, query_length, self.num_heads, key_length)
        if attention_mask is None:
            attn_weights = torch.nn.functional.softmax(attn_weights, dim=-1)
        else:
            attention_mask = attention_mask.expand_as(attn_weights)
            attn_weights = upcast_masked_softmax(attn_weights, attention_mask, torch.finfo(softmax_dtype).min)
        attn_weights = self.attn_dropout(attn_weights.to(dtype))
        attn_output = torch.bmm(attn_weights.reshape(batch_size, -1, key_length), value)
        return attn_output.view(batch_size, query_length, self.embed_dim)

    def forward(self, query, key, value, mask: Optional[torch.Tensor] = None):
        if mask is not None:
            mask = mask[:, None] if mask.dim() == 3 else mask.view((1,) * (4 - mask.dim()) + mask.shape)
            mask = mask.transpose(1, 2)  # heads after the queries
        return self.o_proj(
            self._attn(self.q_proj(query), self.k_proj(key).transpose(-1, -2), self.v_proj(value), mask)
        )
