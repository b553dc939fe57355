"""Pairs are neighbours, as in the original Llama code, and the mask has a column for each new token and none for the past."""
# cause: rotary-pairs-interleaved, causal-mask-without-past

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class KVCache:
    """Room for the keys and values of M tokens. It is given, and stays as it stands here."""

    keys: Tensor  # (B, K, M, E), rotated
    values: Tensor  # (B, K, M, E)
    length: int  # P: slots 0 ... P - 1 are written


def precompute_freqs_cis(dim: int, start: int, end: int, theta: float, dtype: torch.dtype) -> Tensor:
    freqs = 1.0 / (theta ** (torch.arange(0, dim, 2, dtype=dtype) / dim))
    freqs = torch.outer(torch.arange(start, end, dtype=dtype), freqs)
    return torch.polar(torch.ones_like(freqs), freqs)


def apply_rotary_emb(xq: Tensor, xk: Tensor, freqs_cis: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    xq_ = torch.view_as_complex(xq.to(dtype).reshape(*xq.shape[:-1], -1, 2))
    xk_ = torch.view_as_complex(xk.to(dtype).reshape(*xk.shape[:-1], -1, 2))
    freqs_cis = freqs_cis.to(xq.device)[None, :, None, :]
    xq_out = torch.view_as_real(xq_ * freqs_cis).flatten(3)
    xk_out = torch.view_as_real(xk_ * freqs_cis).flatten(3)
    return xq_out.type_as(xq), xk_out.type_as(xk)


def repeat_kv(x: Tensor, n_rep: int) -> Tensor:
    bs, n_kv_heads, slen, head_dim = x.shape
    if n_rep == 1:
        return x
    return (
        x[:, :, None, :, :].expand(bs, n_kv_heads, n_rep, slen, head_dim).reshape(bs, n_kv_heads * n_rep, slen, head_dim)
    )


class LlamaAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, rope_base: float = 10000.0) -> None:
        super().__init__()
        if d_model % num_heads or num_heads % num_kv_heads or (d_model // num_heads) % 2:
            raise ValueError("sizes do not fit")
        self.n_local_heads = num_heads
        self.n_local_kv_heads = num_kv_heads
        self.n_rep = num_heads // num_kv_heads
        self.head_dim = d_model // num_heads
        self.rope_theta = rope_base
        self.q_proj = nn.Linear(d_model, num_heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(num_heads * self.head_dim, d_model, bias=False)

    def forward(self, x: Tensor, cache: KVCache) -> Tensor:
        bsz, seqlen, _ = x.shape
        start_pos = cache.length
        if start_pos + seqlen > cache.keys.shape[2]:
            raise ValueError("the cache is full")
        acc = torch.promote_types(x.dtype, torch.float32)

        xq, xk, xv = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        xq = xq.view(bsz, seqlen, self.n_local_heads, self.head_dim)
        xk = xk.view(bsz, seqlen, self.n_local_kv_heads, self.head_dim)
        xv = xv.view(bsz, seqlen, self.n_local_kv_heads, self.head_dim)

        freqs_cis = precompute_freqs_cis(self.head_dim, start_pos, start_pos + seqlen, self.rope_theta, acc)
        xq, xk = apply_rotary_emb(xq, xk, freqs_cis, acc)

        cache.keys[:, :, start_pos : start_pos + seqlen] = xk.transpose(1, 2)
        cache.values[:, :, start_pos : start_pos + seqlen] = xv.transpose(1, 2)
        cache.length = start_pos + seqlen

        keys = repeat_kv(cache.keys[:, :, : start_pos + seqlen], self.n_rep).to(acc)
        values = repeat_kv(cache.values[:, :, : start_pos + seqlen], self.n_rep).to(acc)

        scores = torch.matmul(xq.transpose(1, 2).to(acc), keys.transpose(2, 3)) / math.sqrt(self.head_dim)
        if seqlen > 1:
            mask = torch.full((seqlen, seqlen), float("-inf"), dtype=acc, device=x.device)
            mask = torch.triu(mask, diagonal=start_pos + 1)
            scores = scores + mask
        output = torch.matmul(scores.softmax(dim=-1), values)
        output = output.transpose(1, 2).contiguous().view(bsz, seqlen, -1)
        return self.o_proj(output.to(x.dtype))
