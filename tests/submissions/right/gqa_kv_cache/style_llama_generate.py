"""In the style of a released model: start_pos, a causal mask built with triu and hstack, repeat_kv, a loop below."""
# star: none

import json
import math
import time
from dataclasses import asdict, dataclass
from typing import List, Optional, Tuple, TypedDict

import torch
import torch.nn.functional as F
from torch import nn


class CompletionPrediction(TypedDict, total=False):
    tokens: List[int]
    logprobs: List[float]


@dataclass
class ModelArgs:
    dim: int
    n_heads: int
    n_kv_heads: Optional[int] = None


def repeat_kv(x: torch.Tensor, n_rep: int) -> torch.Tensor:
    """torch.repeat_interleave(x, dim=2, repeats=n_rep)"""
    bs, slen, n_kv_heads, head_dim = x.shape
    if n_rep == 1:
        return x
    return (
        x[:, :, :, None, :]
        .expand(bs, slen, n_kv_heads, n_rep, head_dim)
        .reshape(bs, slen, n_kv_heads * n_rep, head_dim)
    )


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, bias: bool = True):
        super().__init__()
        self.args = args = ModelArgs(d_model, num_heads, num_kv_heads)
        if args.dim % args.n_heads or args.n_heads % args.n_kv_heads:
            raise ValueError(json.dumps(asdict(args)))
        self.n_kv_heads = args.n_heads if args.n_kv_heads is None else args.n_kv_heads
        self.n_rep = args.n_heads // self.n_kv_heads
        self.head_dim = args.dim // args.n_heads
        self.q_proj = nn.Linear(args.dim, args.n_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(args.dim, self.n_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(args.dim, self.n_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(args.n_heads * self.head_dim, args.dim, bias=bias)

    def make_mask(self, seqlen: int, start_pos: int, like: torch.Tensor) -> Optional[torch.Tensor]:
        if seqlen == 1:
            return None
        mask = torch.full((seqlen, seqlen), float("-inf"), device=like.device)
        mask = torch.triu(mask, diagonal=1)
        # When performing key-value caching, we compute the attention scores only for the new sequence
        return torch.hstack([torch.zeros((seqlen, start_pos), device=like.device), mask]).type_as(like)

    def forward(self, x: torch.Tensor, kv_cache: Optional[Tuple[torch.Tensor, torch.Tensor]] = None):
        bsz, seqlen, _ = x.shape
        start_pos = 0 if kv_cache is None else kv_cache[0].shape[2]
        xq, xk, xv = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        xq = xq.view(bsz, seqlen, -1, self.head_dim)
        xk = xk.view(bsz, seqlen, self.n_kv_heads, self.head_dim)
        xv = xv.view(bsz, seqlen, self.n_kv_heads, self.head_dim)
        if kv_cache is not None:
            xk = torch.cat((kv_cache[0].transpose(1, 2), xk), dim=1)
            xv = torch.cat((kv_cache[1].transpose(1, 2), xv), dim=1)
        cache = (xk.transpose(1, 2), xv.transpose(1, 2))
        keys = repeat_kv(xk, self.n_rep).transpose(1, 2)
        values = repeat_kv(xv, self.n_rep).transpose(1, 2)
        scores = torch.matmul(xq.transpose(1, 2) / math.sqrt(self.head_dim), keys.transpose(2, 3))
        mask = self.make_mask(seqlen, start_pos, scores)
        if mask is not None:
            scores = scores + mask  # (bs, n_local_heads, seqlen, cache_len + seqlen)
        scores = F.softmax(scores, dim=-1)
        output = torch.matmul(scores, values)  # (bs, n_local_heads, seqlen, head_dim)
        output = output.transpose(1, 2).contiguous().view(bsz, seqlen, -1)
        return self.o_proj(output), cache


@torch.inference_mode()
def generate(layer: CachedGroupedQueryAttention, prompt: torch.Tensor, max_gen_len: int) -> CompletionPrediction:
    begin, cache, out = time.time(), None, []
    x = prompt
    for _ in range(max_gen_len):
        y, cache = layer(x, cache)
        x = y[:, -1:]
        out.append(int(x.argmax()))
    print(f"{max_gen_len} tokens in {time.time() - begin:.2f} seconds")
    return CompletionPrediction(tokens=out)
