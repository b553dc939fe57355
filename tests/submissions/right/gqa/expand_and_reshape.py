"""repeat_kv by expand and reshape, additive mask in the dtype of the scores, clamp against double -inf."""
# star: none

import torch
from torch import nn


def repeat_kv(hidden, n_rep):
    batch, kv_heads, length, head_dim = hidden.shape
    if n_rep == 1:
        return hidden
    hidden = hidden[:, :, None, :, :].expand(batch, kv_heads, n_rep, length, head_dim)
    return hidden.reshape(batch, kv_heads * n_rep, length, head_dim)


class GroupedQueryAttention(nn.Module):

    def __init__(self, d_model, num_heads, num_kv_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads or num_heads % num_kv_heads:
            raise ValueError(f"bad sizes: d_model={d_model} num_heads={num_heads} num_kv_heads={num_kv_heads}")
        self.H, self.K, self.E = num_heads, num_kv_heads, d_model // num_heads
        self.q_proj = nn.Linear(d_model, self.H * self.E, bias)
        self.k_proj = nn.Linear(d_model, self.K * self.E, bias)
        self.v_proj = nn.Linear(d_model, self.K * self.E, bias)
        self.o_proj = nn.Linear(self.H * self.E, d_model, bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        B, L, D = query.shape
        S = key.shape[1]
        q = self.q_proj(query).reshape(B, L, self.H, self.E).permute(0, 2, 1, 3)
        k = repeat_kv(self.k_proj(key).reshape(B, S, self.K, self.E).permute(0, 2, 1, 3), self.H // self.K)
        v = repeat_kv(self.v_proj(value).reshape(B, S, self.K, self.E).permute(0, 2, 1, 3), self.H // self.K)
        scores = (q * self.E ** -0.5) @ k.mT
        if mask is not None:
            mask = mask.view(B, 1, L, S) if mask.dim() == 3 and mask.is_contiguous() else mask[:, None] if mask.dim() == 3 else mask
            low = torch.finfo(scores.dtype).min
            additive = torch.zeros(mask.shape, dtype=scores.dtype, device=scores.device).masked_fill(~mask, low)
            # score + lowest can fall over the edge to -inf in float16: pull it back before the softmax
            scores = torch.clamp(scores * mask + additive, min=low)
        weights = scores.softmax(dim=-1)
        if mask is not None:
            weights = weights * mask
        return self.o_proj((self.drop(weights) @ v).permute(0, 2, 1, 3).reshape(B, L, D))
