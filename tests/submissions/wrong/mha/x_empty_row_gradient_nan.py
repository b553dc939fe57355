"""The additive mask is -inf and NaN weights are replaced afterwards: an empty row has NaN gradients."""
# cause: none

import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        if d_model % num_heads != 0:
            raise ValueError(f"d_model={d_model} is not divisible by num_heads={num_heads}")
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def fold(self, x):
        B, N, _ = x.shape
        x = x.view(B, N, self.num_heads, self.head_dim).transpose(1, 2)
        return x.contiguous().view(B * self.num_heads, N, self.head_dim)

    def forward(self, query, key, value, mask=None):
        B, L, D = query.size()
        S = key.size(1)
        H = self.num_heads
        work = torch.float64 if query.dtype == torch.float64 else torch.float32
        q = self.fold(self.q_proj(query)).to(work)
        k = self.fold(self.k_proj(key)).to(work)
        v = self.fold(self.v_proj(value))
        if mask is None:
            weights = torch.bmm(q, k.transpose(1, 2)).mul(self.head_dim ** -0.5).softmax(dim=-1)
        else:
            if mask.dim() == 3:
                mask = mask.view(B, 1, L, S) if mask.is_contiguous() else mask.unsqueeze(1)
            mask = mask.expand(B, H, L, S).reshape(B * H, L, S)
            bias = torch.zeros(mask.shape, dtype=work, device=q.device)
            bias = bias.masked_fill(~mask, float("-inf"))
            scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=self.head_dim ** -0.5)
            weights = scores.softmax(dim=-1).nan_to_num(0.0)
        heads = torch.bmm(self.dropout(weights).to(v.dtype), v)
        heads = heads.view(B, H, L, self.head_dim).transpose(1, 2).contiguous().view(B, L, D)
        return self.o_proj(heads)
