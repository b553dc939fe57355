"""The weights are scaled and not the scores, a mask of H heads is read as (G, K), and v_proj is given key."""
# cause: mask-groups-in-wrong-order, scale-after-softmax, value-from-key

import torch
from torch import Tensor, nn


class GroupedQueryAttention(nn.Module):
    def __init__(
        self, d_model: int, num_heads: int, num_kv_heads: int, dropout: float = 0.0, bias: bool = True
    ) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError("bad num_heads")
        if num_heads % num_kv_heads:
            raise ValueError("bad num_kv_heads")
        self.heads, self.kv_heads = num_heads, num_kv_heads
        self.dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.kv_heads * self.dim, bias=bias)
        self.v_proj = nn.Linear(d_model, self.kv_heads * self.dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def _mask(self, mask: Tensor) -> Tensor:
        """to something that broadcasts against (B, K, G, L, S)"""
        if mask.dim() == 2:
            return mask
        if mask.dim() == 3:
            return mask[:, None, None]
        if mask.size(1) == 1:
            return mask.unsqueeze(2)
        b, h, l, s = mask.shape
        return mask.reshape(b, h // self.kv_heads, self.kv_heads, l, s).transpose(1, 2)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        B, L, D = query.shape
        S = key.size(1)
        G = self.heads // self.kv_heads
        work = torch.promote_types(query.dtype, torch.float32)
        q = self.q_proj(query).view(B, L, self.kv_heads, G, self.dim).permute(0, 2, 3, 1, 4)
        k = self.k_proj(key).view(B, S, self.kv_heads, self.dim).permute(0, 2, 3, 1).unsqueeze(2)
        v = self.v_proj(key).view(B, S, self.kv_heads, self.dim).transpose(1, 2).unsqueeze(2)

        attn = q.to(work) @ k.to(work)
        if mask is not None:
            m = self._mask(mask)
            attn = attn.masked_fill(~m, float("-inf")).softmax(-1).nan_to_num(0.0)
        else:
            attn = attn.softmax(-1)
        attn = self.dropout(attn * self.dim**-0.5).to(query.dtype)
        return self.o_proj((attn @ v).permute(0, 3, 1, 2, 4).reshape(B, L, D))
