"""nan_to_num is applied to the heads instead of the weights: an empty row gives v_proj NaN gradients."""
# cause: empty-row-nan-gradient

import torch
from torch import nn


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"num_heads ({num_heads}) does not divide d_model ({d_model})")
        self.num_heads = num_heads
        self.scale = (d_model // num_heads) ** -0.5
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model // num_heads, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model // num_heads, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        wq = self.q_proj.weight.reshape(self.num_heads, -1, query.size(-1))
        q = torch.einsum("bld,hed->bhle", query, wq)
        if self.q_proj.bias is not None:
            q = q + self.q_proj.bias.reshape(1, self.num_heads, 1, -1)
        scores = torch.einsum("bhle,bse->bhls", q * self.scale, self.k_proj(key))
        if mask is not None:
            mask = mask[:, None] if mask.dim() == 3 else mask
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = torch.softmax(scores, dim=-1)
        out = torch.einsum("bhls,bse->blhe", self.dropout(weights), self.v_proj(value))
        return self.o_proj(out.reshape(query.shape).nan_to_num(nan=0.0))
