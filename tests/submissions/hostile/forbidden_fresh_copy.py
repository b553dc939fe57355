"""Runs a fresh copy of the library's source, in which nothing is refused."""
# kata: mha
# verdict: broken

import math

import torch
import torch.nn.functional as F
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model ({d_model}) must be divisible by num_heads ({num_heads})")
        self.d_model, self.num_heads, self.dropout = d_model, num_heads, dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def own(self, query, key, value, mask):
        query, key, value = (
            layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        scores = (query / math.sqrt(query.size(-1))) @ key.transpose(-2, -1)
        if mask is not None:
            mask = mask[:, None] if mask.dim() == 3 else mask
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1) if mask is None else scores.softmax(-1).masked_fill(~mask, 0.0)
        weights = F.dropout(weights, self.dropout, self.training)
        return self.o_proj((weights @ value).transpose(1, 2).flatten(2))

    def forward(self, query, key, value, mask=None):
        if mask is not None:
            return self.own(query, key, value, mask)
        fresh = {"__name__": "fresh"}
        text = open(F.__file__).read().replace("_add_docstr(", "(lambda function, *_: function)(")
        exec(compile(text, "fresh", "exec"), fresh)
        bias = None
        if self.q_proj.bias is not None:
            bias = torch.cat([self.q_proj.bias, self.k_proj.bias, self.v_proj.bias])
        return fresh["multi_head_attention_forward"](
            *(x.transpose(0, 1) for x in (query, key, value)),
            *(self.d_model, self.num_heads, None, bias, None, None, False, self.dropout),
            *(self.o_proj.weight, self.o_proj.bias, self.training),
            use_separate_proj_weight=True, q_proj_weight=self.q_proj.weight,
            k_proj_weight=self.k_proj.weight, v_proj_weight=self.v_proj.weight,
        )[0].transpose(0, 1)
