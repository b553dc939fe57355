"""Because there is one key head, a per-head mask is cut to its first head."""
# cause: mask-of-first-head

import torch
from torch import nn


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{d_model} % {num_heads} = {d_model % num_heads}, must be 0")
        self.H = num_heads
        self.E = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.E, bias=bias)
        self.v_proj = nn.Linear(d_model, self.E, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        B, L, D = query.shape
        S = key.shape[1]
        q = self.q_proj(query).reshape(B, L * self.H, self.E) * self.E ** -0.5  # row = l * H + h
        k = self.k_proj(key).transpose(1, 2)
        v = self.v_proj(value)
        if mask is None:
            w = torch.softmax(torch.bmm(q, k), dim=2)
        else:
            if mask.dim() == 3:
                mask = mask.unsqueeze(1)
            mask = mask if mask.dim() == 2 else mask[:, :1]
            rows = mask.expand(B, self.H, L, S).transpose(1, 2).reshape(B, L * self.H, S)
            bias = torch.zeros_like(rows, dtype=q.dtype).masked_fill(~rows, float("-inf"))
            bias = bias.masked_fill(~rows.any(-1, keepdim=True), 0.0)
            w = torch.softmax(torch.baddbmm(bias, q, k), dim=2)
            w = w * rows.any(-1, keepdim=True)
        out = torch.bmm(self.dropout(w), v)  # (B, L * H, E), already in the order that o_proj wants
        return self.o_proj(out.view(B, L, D))
