"""Values are mixed first and projected after, so the bias of v_proj reaches empty rows and dropped weights in full."""
# cause: none

import torch
from torch import nn


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model not divisible by num_heads")
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        B, L, D = query.shape
        q = self.q_proj(query).view(B, L, self.num_heads, self.head_dim) / self.head_dim ** 0.5
        # q . (W k + b) = (W^T q) . k + q . b
        absorbed = torch.matmul(q, self.k_proj.weight)  # (B, L, H, D)
        scores = torch.einsum("blhd,bsd->bhls", absorbed, key)
        if self.k_proj.bias is not None:
            scores = scores + torch.matmul(q, self.k_proj.bias).transpose(1, 2).unsqueeze(-1)
        if mask is not None:
            mask = mask.unsqueeze(1) if mask.dim() == 3 else mask
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1)
        if mask is not None:
            weights = weights.masked_fill(~mask, 0.0)
        heads = self.v_proj(torch.einsum("bhls,bsd->blhd", self.drop(weights), value))
        return self.o_proj(heads.reshape(B, L, D))
