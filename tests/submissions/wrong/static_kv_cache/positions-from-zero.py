"""Every call counts its positions from zero."""
# cause: positions-from-zero

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class KVCache:
    keys: Tensor
    values: Tensor
    length: int


def rotate_half(x):
    x1 = x[..., : x.shape[-1] // 2]
    x2 = x[..., x.shape[-1] // 2 :]
    return torch.cat((-x2, x1), dim=-1)


def apply_rotary_pos_emb(q, k, cos, sin):
    cos, sin = cos[None, None], sin[None, None]
    q_embed = (q * cos) + (rotate_half(q) * sin)
    k_embed = (k * cos) + (rotate_half(k) * sin)
    return q_embed.to(q.dtype), k_embed.to(k.dtype)


def repeat_kv(hidden_states, n_rep):
    batch, num_key_value_heads, slen, head_dim = hidden_states.shape
    if n_rep == 1:
        return hidden_states
    hidden_states = hidden_states[:, :, None, :, :].expand(batch, num_key_value_heads, n_rep, slen, head_dim)
    return hidden_states.reshape(batch, num_key_value_heads * n_rep, slen, head_dim)


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

    def rotary(self, position_ids, dtype):
        inv_freq = 1.0 / (self.base ** (torch.arange(0, self.hd, 2).to(dtype) / self.hd))
        freqs = position_ids[:, None].to(dtype) * inv_freq[None, :]
        emb = torch.cat((freqs, freqs), dim=-1)
        return emb.cos(), emb.sin()

    def forward(self, x, cache):
        bsz, q_len, _ = x.size()
        past_len = cache.length
        kv_len = past_len + q_len
        if kv_len > cache.keys.shape[2]:
            raise ValueError(f"{kv_len} tokens, but the cache has {cache.keys.shape[2]} slots")
        query_states = self.q_proj(x).view(bsz, q_len, self.n_heads, self.hd).transpose(1, 2)
        key_states = self.k_proj(x).view(bsz, q_len, self.n_kv, self.hd).transpose(1, 2)
        value_states = self.v_proj(x).view(bsz, q_len, self.n_kv, self.hd).transpose(1, 2)

        position_ids = torch.arange(q_len)
        cos, sin = self.rotary(position_ids, torch.float64 if x.dtype == torch.float64 else torch.float32)
        query_states, key_states = apply_rotary_pos_emb(query_states, key_states, cos, sin)

        cache.keys[:, :, past_len:kv_len] = key_states
        cache.values[:, :, past_len:kv_len] = value_states
        cache.length = kv_len

        key_states = repeat_kv(cache.keys[:, :, :kv_len], self.n_heads // self.n_kv)
        value_states = repeat_kv(cache.values[:, :, :kv_len], self.n_heads // self.n_kv)
        attn_weights = torch.matmul(query_states, key_states.transpose(2, 3)) / math.sqrt(self.hd)
        causal_mask = torch.full((q_len, kv_len), torch.finfo(x.dtype).min, dtype=x.dtype)
        causal_mask *= torch.arange(kv_len) > torch.arange(past_len, kv_len).reshape(-1, 1)
        attn_weights = attn_weights + causal_mask
        softmax_dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        attn_weights = nn.functional.softmax(attn_weights, dim=-1, dtype=softmax_dtype).to(query_states.dtype)
        attn_output = torch.matmul(attn_weights, value_states)
        attn_output = attn_output.transpose(1, 2).contiguous().reshape(bsz, q_len, -1)
        return self.o_proj(attn_output)
