"""Attends to the query alone, with 1/8 for every head_dim, in scores of five dimensions."""
# cause: self-attention-only, scale-constant

import torch
from torch import Tensor, nn


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads or num_heads % num_kv_heads:
            raise ValueError("heads do not divide")
        dh = d_model // num_heads
        self.shape_q = (num_kv_heads, num_heads // num_kv_heads, dh)
        self.shape_kv = (num_kv_heads, dh)
        self.q_proj = nn.Linear(d_model, d_model, bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * dh, bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * dh, bias)
        self.o_proj = nn.Linear(d_model, d_model, bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        # i: batch, l: query, s: key, k: kv head, g: member of its group, e: feature
        q = self.q_proj(query).unflatten(-1, self.shape_q)
        k = self.k_proj(query).unflatten(-1, self.shape_kv)
        v = self.v_proj(query).unflatten(-1, self.shape_kv)
        wide = torch.float64 if q.dtype == torch.float64 else torch.float32
        logits = torch.einsum("ilkge,iske->ikgls", q.to(wide), k.to(wide)) * 0.125  # 1 / sqrt(head_dim)
        p = logits.softmax(-1)
        if mask is not None:
            if mask.ndim == 3:
                mask = mask.unsqueeze(1)
            if mask.ndim == 4:
                mask = mask.unflatten(1, self.shape_q[:2]) if mask.shape[1] > 1 else mask.unsqueeze(1)
            # throw away what must not be seen, and make the rest sum to one again
            p = p * mask
            p = p / p.sum(-1, keepdim=True)
        p = self.drop(p).to(v.dtype)
        return self.o_proj(torch.einsum("ikgls,iske->ilkge", p, v).flatten(-3))
