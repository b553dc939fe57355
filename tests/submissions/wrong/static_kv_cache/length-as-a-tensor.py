"""The length is taken from the index tensor."""
# cause: length-as-a-tensor

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class KVCache:
    keys: Tensor
    values: Tensor
    length: int


class LlamaAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, rope_base=10000.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be divisible by num_heads")
        if num_heads % num_kv_heads != 0:
            raise ValueError("num_heads must be divisible by num_kv_heads")
        self.n_heads, self.n_kv, self.hd = num_heads, num_kv_heads, d_model // num_heads
        if self.hd % 2 != 0:
            raise ValueError("head_dim must be even")
        self.base = rope_base
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.hd, bias=False)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.hd, bias=False)
        self.o_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, cache):
        bsz, seqlen, dim = x.shape
        max_len = cache.keys.shape[2]
        input_pos = torch.arange(cache.length, cache.length + seqlen)
        if cache.length + seqlen > max_len:
            raise ValueError("sequence is longer than the cache")
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        q = q.view(bsz, seqlen, self.n_heads, self.hd)
        k = k.view(bsz, seqlen, self.n_kv, self.hd)
        v = v.view(bsz, seqlen, self.n_kv, self.hd)
        q, k = self.apply_rotary_emb(q, input_pos), self.apply_rotary_emb(k, input_pos)
        q, k, v = map(lambda t: t.transpose(1, 2), (q, k, v))
        k_out, v_out = cache.keys, cache.values
        k_out[:, :, input_pos] = k
        v_out[:, :, input_pos] = v
        cache.length = input_pos[-1] + 1

        mask = torch.tril(torch.ones(max_len, max_len, dtype=torch.bool))[None, None, input_pos]
        written = torch.arange(max_len) < cache.length
        k_all = torch.where(written[:, None], k_out, torch.zeros((), dtype=x.dtype))
        v_all = torch.where(written[:, None], v_out, torch.zeros((), dtype=x.dtype))
        k_all = k_all.repeat_interleave(self.n_heads // self.n_kv, dim=1)
        v_all = v_all.repeat_interleave(self.n_heads // self.n_kv, dim=1)
        att = (q @ k_all.transpose(-2, -1)) * (1.0 / math.sqrt(self.hd))
        att = att.masked_fill(mask.logical_not(), float("-inf"))
        y = torch.softmax(att, dim=-1) @ v_all
        return self.o_proj(y.transpose(1, 2).contiguous().view(bsz, seqlen, dim))

    def apply_rotary_emb(self, x, input_pos):
        # x (B, L, heads, E)
        kind = torch.float64 if x.dtype == torch.float64 else torch.float32
        freqs = 1.0 / (self.base ** (torch.arange(0, self.hd, 2).to(kind) / self.hd))
        freqs = torch.outer(input_pos.to(kind), freqs)[:, None, :]
        xf = x.to(kind)
        first, second = xf[..., : self.hd // 2], xf[..., self.hd // 2 :]
        out = torch.cat([first * freqs.cos() - second * freqs.sin(), second * freqs.cos() + first * freqs.sin()], dim=-1)
        return out.type_as(x)
