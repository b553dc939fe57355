"""Reads the batch of a mask as heads, tiles a mask of one head, and drops scores."""
# cause: batch-mask-read-as-heads, dropout-on-scores, mask-tiled-over-heads

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GroupedQueryAttention(nn.Module):
    def __init__(
        self, d_model: int, num_heads: int, num_kv_heads: int, dropout: float = 0.0, bias: bool = True
    ) -> None:
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model % num_heads != 0")
        if num_heads % num_kv_heads != 0:
            raise ValueError("num_heads % num_kv_heads != 0")
        self.nh, self.nkv, self.hd = num_heads, num_kv_heads, d_model // num_heads
        self.dropout_p = dropout
        self.q_proj, self.o_proj = (nn.Linear(d_model, d_model, bias=bias) for _ in range(2))
        self.k_proj, self.v_proj = (nn.Linear(d_model, self.nkv * self.hd, bias=bias) for _ in range(2))

    def fold_mask(self, mask: Tensor, batch: int) -> Tensor:
        """Any of the allowed masks -> something that broadcasts to (batch * heads, L, S)."""
        if mask.dim() == 2:
            return mask
        if mask.dim() == 3:
            mask = mask[None].expand(batch, self.nh, -1, -1)
            return mask.reshape(batch * self.nh, *mask.shape[2:])
        mask = mask.expand(batch, -1, -1, -1)
        if mask.size(1) == 1:
            return mask.squeeze(1).repeat(self.nh, 1, 1)
        return mask.reshape(batch * self.nh, *mask.shape[2:])

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        B, L, D = query.shape
        S = key.shape[1]
        group = self.nh // self.nkv
        q = self.q_proj(query).view(B, L, self.nh, self.hd).transpose(1, 2).reshape(B * self.nh, L, self.hd)
        k = self.k_proj(key).view(B, S, self.nkv, self.hd).transpose(1, 2)
        v = self.v_proj(value).view(B, S, self.nkv, self.hd).transpose(1, 2)
        k = torch.repeat_interleave(k, group, dim=1).reshape(B * self.nh, S, self.hd)
        v = torch.repeat_interleave(v, group, dim=1).reshape(B * self.nh, S, self.hd)

        scores = (q / math.sqrt(self.hd)) @ k.mT
        if scores.dtype in (torch.float16, torch.bfloat16):
            scores = scores.float()
        scores = F.dropout(scores, p=self.dropout_p, training=self.training)
        if mask is not None:
            mask = self.fold_mask(mask, B)
            nothing = ~mask.any(dim=-1, keepdim=True)
            scores = scores.masked_fill(~mask, -math.inf).masked_fill(nothing, 0.0)
        weights = scores.softmax(dim=-1)
        if mask is not None:
            weights = weights.masked_fill(nothing, 0.0)
        heads = weights.to(v.dtype) @ v
        return self.o_proj(heads.view(B, self.nh, L, self.hd).transpose(1, 2).reshape(B, L, D))
