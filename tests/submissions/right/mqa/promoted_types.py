"""Written for groups of heads, with one group; half precision is worked out in float32."""
# star: none

import math
import torch
from torch import nn
import torch.nn.functional as F

class MultiQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        num_kv_heads = 1
        if d_model % num_heads or num_heads % num_kv_heads:
            raise ValueError("sizes do not divide")
        self.H, self.K, self.E = num_heads, num_kv_heads, d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.E, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.E, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.p = dropout

    def forward(self, query, key, value, mask=None):
        B, L, D = query.shape
        S = key.shape[1]
        ct = torch.promote_types(query.dtype, torch.float32)
        q = self.q_proj(query).view(B, L, self.H, self.E).transpose(1, 2).to(ct)
        k = self.k_proj(key).view(B, S, self.K, self.E).transpose(1, 2).to(ct)
        v = self.v_proj(value).view(B, S, self.K, self.E).transpose(1, 2).to(ct)
        k = k.repeat_interleave(self.H // self.K, dim=1)
        v = v.repeat_interleave(self.H // self.K, dim=1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.E)
        if mask is not None:
            if mask.dim() == 3:
                mask = mask.unsqueeze(1)
            scores = scores.masked_fill(~mask, torch.finfo(ct).min)
        w = torch.softmax(scores, dim=-1)
        if mask is not None:
            w = w.masked_fill(~mask, 0.0)
        w = F.dropout(w, self.p, self.training)
        out = (w @ v).transpose(1, 2).reshape(B, L, D).to(query.dtype)
        return self.o_proj(out)
