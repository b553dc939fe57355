"""bias=False is not passed on to o_proj."""
# cause: output-bias-always

import math

import torch
from torch import nn
import torch.nn.functional as F


class MultiHeadAttention(nn.Module):
    block_size = 2

    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model ({d_model}) % num_heads ({num_heads}) must be 0")
        self.num_heads = num_heads
        self.dropout_p = dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model)

    def forward(self, query, key, value, mask=None):
        B, L, D = query.shape
        S, H = key.shape[1], self.num_heads
        E = D // H
        up = torch.promote_types(query.dtype, torch.float32)
        q = self.q_proj(query).view(B, L, H, E).transpose(1, 2).to(up) / math.sqrt(E)
        k = self.k_proj(key).view(B, S, H, E).transpose(1, 2).to(up)
        v = self.v_proj(value).view(B, S, H, E).transpose(1, 2).to(up)
        if mask is not None:
            if mask.dim() == 3:
                mask = mask.unsqueeze(1)
            mask = mask.expand(B, H, L, S)

        m = q.new_full((B, H, L, 1), torch.finfo(up).min)
        den = q.new_zeros(B, H, L, 1)
        num = q.new_zeros(B, H, L, E)
        for a in range(0, S, self.block_size):
            b = a + self.block_size
            s = q @ k[:, :, a:b].transpose(2, 3)
            if mask is not None:
                s = s.masked_fill(~mask[..., a:b], -math.inf)
            with torch.no_grad():
                m_new = torch.maximum(m, s.amax(-1, keepdim=True))
                shrink = torch.exp(m - m_new)
            p = torch.exp(s - m_new)
            den = den * shrink + p.sum(-1, keepdim=True)
            num = num * shrink + F.dropout(p, self.dropout_p, training=self.training) @ v[:, :, a:b]
            m = m_new
        heads = num / torch.where(den > 0, den, torch.ones_like(den))
        return self.o_proj(heads.to(query.dtype).transpose(1, 2).reshape(B, L, D))
