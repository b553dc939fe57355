"""In the style of a released model: ModelArgs, xq xk xv, contiguous views, -inf masks made float, type_as."""

import math
from dataclasses import dataclass
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class ModelArgs:
    dim: int = 4096
    n_heads: int = 32
    multiple_of: int = 256  # make SwiGLU hidden layer size multiple of large power of 2
    norm_eps: float = 1e-5
    max_seq_len: int = 2048


def _to_scores_mask(mask: torch.Tensor, dtype: torch.dtype) -> Tuple[torch.Tensor, torch.Tensor]:
    """The float mask that is added, and the rows that are not empty."""
    if mask.dim() == 3:
        mask = mask.unsqueeze(1)
    alive = mask.any(dim=-1, keepdim=True)
    added = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return added.masked_fill(~mask & alive, float("-inf")), alive


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True):
        super().__init__()
        args = ModelArgs(dim=d_model, n_heads=num_heads)
        if args.dim % args.n_heads != 0:
            raise ValueError(f"dim={args.dim} n_heads={args.n_heads}")
        self.n_local_heads = args.n_heads
        self.head_dim = args.dim // args.n_heads
        self.attn_dropout = dropout
        self.q_proj = nn.Linear(args.dim, args.n_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(args.dim, args.n_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(args.dim, args.n_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(args.n_heads * self.head_dim, args.dim, bias=bias)

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Optional[torch.Tensor] = None
    ):
        bsz, seqlen, _ = query.shape
        xq, xk, xv = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        xq = xq.view(bsz, seqlen, self.n_local_heads, self.head_dim)
        xk = xk.view(bsz, -1, self.n_local_heads, self.head_dim)
        xv = xv.view(bsz, -1, self.n_local_heads, self.head_dim)
        xq, keys, values = xq.transpose(1, 2), xk.transpose(1, 2), xv.transpose(1, 2)
        scores = torch.matmul(xq / math.sqrt(self.head_dim), keys.transpose(2, 3))
        if mask is not None:
            added, alive = _to_scores_mask(mask, scores.dtype)
            scores = scores + added  # (bs, n_local_heads, slen, cache_len + slen)
        accumulated = torch.promote_types(scores.dtype, torch.float32)
        scores = F.softmax(scores.to(accumulated), dim=-1).type_as(xq)
        if mask is not None:
            scores = scores * alive
        scores = F.dropout(scores, self.attn_dropout, self.training)
        output = torch.matmul(scores, values)  # (bs, n_local_heads, slen, head_dim)
        output = output.transpose(1, 2).contiguous().view(bsz, seqlen, -1)
        return self.o_proj(output)
