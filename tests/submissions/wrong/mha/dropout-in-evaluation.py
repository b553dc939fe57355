"""The dropout does not look at self.training and drops in evaluation too."""
# cause: dropout-in-evaluation

import torch
import torch.nn.functional as F
from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError(f"d_model={d_model} is not divisible by num_heads={num_heads}")
        self.d_model = d_model
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads

        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = dropout

    def forward(self, query, key, value, mask=None):
        E = self.head_dim
        q, k, v = self.q_proj(query), self.k_proj(key), self.v_proj(value)

        heads = []
        for h in range(self.num_heads):
            q_h = q[:, :, h * E : (h + 1) * E]
            k_h = k[:, :, h * E : (h + 1) * E]
            v_h = v[:, :, h * E : (h + 1) * E]
            s = q_h @ k_h.transpose(1, 2) * (1.0 / E**0.5)
            m = self._mask_of_head(mask, h)
            if m is not None:
                s = torch.where(m, s, torch.full_like(s, -1e30))
            p = s.softmax(-1)
            if m is not None:
                p = p * m
            p = F.dropout(p, self.dropout)
            heads.append(p @ v_h)

        return self.o_proj(torch.cat(heads, dim=-1))

    def _mask_of_head(self, mask, h):
        if mask is None or mask.dim() < 4:
            return mask
        return mask[:, h if mask.shape[1] > 1 else 0]
