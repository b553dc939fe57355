"""In the style of a fast minimal decoder: a KVCache with update, input_pos, a boolean mask that is indexed by position."""
# star: none

import itertools
import math
import sys
import time
from dataclasses import dataclass
from typing import Optional, Tuple

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn import functional as F


def find_multiple(n: int, k: int) -> int:
    if n % k == 0:
        return n
    return n + k - (n % k)


@dataclass
class ModelArgs:
    n_head: int
    dim: int
    n_local_heads: int

    def __post_init__(self):
        if self.dim % self.n_head or self.n_head % self.n_local_heads:
            raise ValueError(f"{self}")
        self.head_dim = self.dim // self.n_head


class KVCache(nn.Module):
    """Keys and values of the tokens so far. It lives for one call: what it is handed is never written to."""

    def __init__(self, past: Optional[Tuple[Tensor, Tensor]], k: Tensor, v: Tensor):
        super().__init__()
        self.past_len = 0 if past is None else past[0].size(2)
        length = self.past_len + k.size(2)
        self.k_cache = k.new_zeros(*k.shape[:2], length, k.size(3))
        self.v_cache = v.new_zeros(*v.shape[:2], length, v.size(3))
        if past is not None:
            self.k_cache[:, :, : self.past_len] = past[0]
            self.v_cache[:, :, : self.past_len] = past[1]

    def update(self, input_pos: Tensor, k_val: Tensor, v_val: Tensor) -> Tuple[Tensor, Tensor]:
        # input_pos: [S], k_val: [B, H, S, D]
        assert input_pos.shape[0] == k_val.shape[2]
        return self.k_cache.index_copy(2, input_pos, k_val), self.v_cache.index_copy(2, input_pos, v_val)


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, bias: bool = True):
        super().__init__()
        self.config = config = ModelArgs(num_heads, d_model, num_kv_heads)
        # total_head_dim = (n_head + 2 * n_local_heads) * head_dim, in three layers
        self.q_proj = nn.Linear(config.dim, config.n_head * config.head_dim, bias=bias)
        self.k_proj = nn.Linear(config.dim, config.n_local_heads * config.head_dim, bias=bias)
        self.v_proj = nn.Linear(config.dim, config.n_local_heads * config.head_dim, bias=bias)
        self.o_proj = nn.Linear(config.dim, config.dim, bias=bias)

    def forward(self, x: Tensor, kv_cache: Optional[Tuple[Tensor, Tensor]] = None):
        bsz, seqlen, _ = x.shape
        q = self.q_proj(x).view(bsz, seqlen, self.config.n_head, self.config.head_dim)
        k = self.k_proj(x).view(bsz, seqlen, self.config.n_local_heads, self.config.head_dim)
        v = self.v_proj(x).view(bsz, seqlen, self.config.n_local_heads, self.config.head_dim)
        q, k, v = map(lambda x: x.transpose(1, 2), (q, k, v))
        cache = KVCache(kv_cache, k, v)
        input_pos = torch.arange(cache.past_len, cache.past_len + seqlen, device=x.device)
        k, v = cache.update(input_pos, k, v)
        updated = (k, v)
        length = k.size(2)
        mask = torch.tril(torch.ones(length, length, dtype=torch.bool, device=x.device))[None, None, input_pos]
        k = k.repeat_interleave(self.config.n_head // self.config.n_local_heads, dim=1)
        v = v.repeat_interleave(self.config.n_head // self.config.n_local_heads, dim=1)
        y = self.attend(q, k, v, attn_mask=mask)
        y = y.transpose(1, 2).contiguous().view(bsz, seqlen, self.config.dim)
        return self.o_proj(y), updated

    def attend(self, q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor) -> Tensor:
        logits = (q / math.sqrt(q.size(-1))) @ k.mT
        return F.softmax(logits.masked_fill(~attn_mask, -float("inf")), dim=-1) @ v


def device_sync(device):
    if "cuda" in device:
        torch.cuda.synchronize(device)
    elif ("cpu" in device) or ("mps" in device):
        pass
    else:
        print(f"device={device} is not yet supported", file=sys.stderr)


def decode_n_tokens(layer: nn.Module, cur: Tensor, num_new_tokens: int):
    cache, t0 = None, time.perf_counter()
    for _ in itertools.repeat(None, num_new_tokens):
        cur, cache = layer(cur, cache)
    device_sync("cpu")
    return cache, time.perf_counter() - t0
