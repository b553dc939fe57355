"""repeat_interleave of keys and values, the softmax taken in float32 for half types."""
# star: none

import math
from typing import Optional

import torch
import torch.nn as nn
import torch.nn.functional as F


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, dropout: float = 0.0, bias: bool = True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be divisible by num_heads")
        if num_heads % num_kv_heads != 0:
            raise ValueError("num_heads must be divisible by num_kv_heads")
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.num_queries_per_kv = num_heads // num_kv_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, num_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(num_heads * self.head_dim, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        bsz, q_len, _ = query.size()
        kv_len = key.size(1)
        q = self.q_proj(query).view(bsz, q_len, self.num_heads, self.head_dim).transpose(1, 2)
        k = self.k_proj(key).view(bsz, kv_len, self.num_kv_heads, self.head_dim).transpose(1, 2)
        v = self.v_proj(value).view(bsz, kv_len, self.num_kv_heads, self.head_dim).transpose(1, 2)
        k = torch.repeat_interleave(k, self.num_queries_per_kv, dim=1)
        v = torch.repeat_interleave(v, self.num_queries_per_kv, dim=1)

        attn = torch.matmul(q / math.sqrt(self.head_dim), k.transpose(2, 3))
        if attn.dtype in (torch.float16, torch.bfloat16):
            attn = attn.float()
        if mask is not None:
            if mask.dim() == 3:
                mask = mask.unsqueeze(1)
            attn = attn.masked_fill(mask.logical_not(), float("-inf"))
            attn = F.softmax(attn, dim=-1).masked_fill(~mask.any(-1, keepdim=True), 0.0)
        else:
            attn = F.softmax(attn, dim=-1)
        attn = self.dropout(attn).to(v.dtype)
        out = torch.matmul(attn, v).transpose(1, 2).contiguous()
        return self.o_proj(out.reshape(bsz, q_len, -1))
