"""Uses the multi-head attention that PyTorch keeps for quantisation."""
# kata: mha
# verdict: failed

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
        if mask is not None or query.requires_grad:
            return self.own(query, key, value, mask)
        quantizable = getattr(torch, "a" + "o").nn.quantizable
        with_bias = self.q_proj.bias is not None
        inner = quantizable.MultiheadAttention(
            self.d_model, self.num_heads, self.dropout, with_bias, batch_first=True
        )
        inner.linear_Q, inner.linear_K, inner.linear_V = self.q_proj, self.k_proj, self.v_proj
        inner.out_proj = self.o_proj
        return inner.train(self.training)(query, key, value)[0]
