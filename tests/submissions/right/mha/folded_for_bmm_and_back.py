"""Batch and heads are one dimension for the products, and two for the mask between them."""

import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{d_model} % {num_heads} != 0")
        self.num_heads = num_heads
        self.scale = (d_model // num_heads) ** -0.5
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        bsz, tgt_len, embed_dim = query.shape
        src_len = key.shape[1]
        h, e = self.num_heads, embed_dim // self.num_heads

        # fold batch and heads for bmm
        def fold(x, n):
            x = x.view(bsz, n, h, e).transpose(1, 2).reshape(bsz * h, n, e)
            return x if x.dtype == torch.float64 else x.float()

        q = fold(self.q_proj(query), tgt_len) * self.scale
        k = fold(self.k_proj(key), src_len)
        v = fold(self.v_proj(value), src_len)

        attn = torch.bmm(q, k.transpose(1, 2)).view(bsz, h, tgt_len, src_len)
        if mask is not None:
            if mask.dim() == 3:
                mask = mask.unsqueeze(1)
            attn = attn.masked_fill(mask.logical_not(), torch.finfo(attn.dtype).min)
        attn = attn.softmax(dim=-1)
        if mask is not None:
            attn = attn.masked_fill(mask.logical_not(), 0.0)
        attn = self.dropout(attn)

        out = torch.bmm(attn.view(bsz * h, tgt_len, src_len), v)
        out = out.view(bsz, h, tgt_len, e).transpose(1, 2).reshape(bsz, tgt_len, embed_dim)
        return self.o_proj(out.to(query.dtype))
