"""torch.where picks zero after a division by zero: right forwards, but the branch not taken sends NaN backwards."""
# cause: none

import functools
import math

import torch
import torch.nn.functional as F
from torch import nn


def with_four_dim_mask(forward):
    @functools.wraps(forward)
    def wrapped(self, query, key, value, mask=None):
        if mask is None:
            mask = torch.ones(query.shape[1], key.shape[1], dtype=torch.bool, device=query.device)
        if mask.dim() == 3:
            mask = mask.unsqueeze(1)
        return forward(self, query, key, value, mask.expand(query.shape[0], self.num_heads, -1, -1))

    return wrapped


class MultiQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model ({d_model}) must be divisible by num_heads ({num_heads})")
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        self.rate = dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    @with_four_dim_mask
    def forward(self, query, key, value, mask=None):
        B, L, D = query.shape
        up = torch.double if query.dtype == torch.double else torch.float
        q = (self.q_proj(query).to(up) / math.sqrt(self.head_dim)).view(B, L, self.num_heads, self.head_dim)
        keys, values = self.k_proj(key).to(up).split(2, dim=1), self.v_proj(value).to(up).split(2, dim=1)
        rows = []
        for i in range(L):
            qi = q[:, i]  # (B, H, E)
            best = qi.new_full((B, self.num_heads, 1), torch.finfo(up).min)
            norm, total = torch.zeros_like(best), torch.zeros_like(qi)
            for k, v, seen in zip(keys, values, mask[:, :, i].split(2, dim=-1)):
                s = (qi @ k.mT).masked_fill(~seen, -math.inf)
                top = torch.maximum(best, s.detach().amax(-1, keepdim=True))
                p, fade = (s - top).exp(), (best - top).exp()
                norm = norm * fade + p.sum(-1, keepdim=True)
                total = total * fade + F.dropout(p, self.rate, self.training) @ v
                best = top
            rows.append(torch.where(norm > 0, total / norm, torch.zeros_like(total)).flatten(1))
        return self.o_proj(torch.stack(rows, 1).to(query.dtype))
