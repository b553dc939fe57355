"""Llama's way: a mask of -inf above the diagonal is added to float32 scores."""
# star: none

import math

import torch
from torch import nn


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, bias=True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be divisible by num_heads")
        if num_heads % num_kv_heads != 0:
            raise ValueError("num_heads must be divisible by num_kv_heads")
        self.n_heads, self.n_kv = num_heads, num_kv_heads
        self.d_head = d_model // num_heads
        self.n_rep = num_heads // num_kv_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.d_head, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.d_head, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x, kv_cache=None):
        bsz, n, dim = x.shape
        xq = self.q_proj(x).view(bsz, n, self.n_heads, self.d_head).transpose(1, 2)
        xk = self.k_proj(x).view(bsz, n, self.n_kv, self.d_head).transpose(1, 2)
        xv = self.v_proj(x).view(bsz, n, self.n_kv, self.d_head).transpose(1, 2)
        if kv_cache is not None:
            xk = torch.cat([kv_cache[0], xk], dim=-2)
            xv = torch.cat([kv_cache[1], xv], dim=-2)
        up = torch.promote_types(x.dtype, torch.float32)
        keys = xk.to(up).repeat_interleave(self.n_rep, dim=1)
        vals = xv.to(up).repeat_interleave(self.n_rep, dim=1)
        scores = torch.matmul(xq.to(up), keys.transpose(2, 3)) / math.sqrt(self.d_head)
        total = keys.size(2)
        mask = torch.full((n, total), float("-inf"), device=x.device, dtype=up)
        mask = torch.triu(mask, diagonal=total - n + 1)
        scores = scores + mask
        probs = torch.softmax(scores, dim=-1)
        out = torch.matmul(probs, vals).transpose(1, 2).contiguous().view(bsz, n, dim)
        return self.o_proj(out.to(x.dtype)), (xk, xv)
