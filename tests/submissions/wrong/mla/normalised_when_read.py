"""The cached latents are normalised each time that they are read."""
# cause: latent-normalised

import torch
from torch import nn


def rotate_half(x):
    x1 = x[..., : x.shape[-1] // 2]
    x2 = x[..., x.shape[-1] // 2 :]
    return torch.cat((-x2, x1), dim=-1)


def apply_rotary_pos_emb(x, cos, sin):
    return ((x * cos) + (rotate_half(x) * sin)).to(x.dtype)


class LatentAttention(nn.Module):
    def __init__(self, d_model, num_heads, head_dim, rope_dim, latent_dim):
        super().__init__()
        if rope_dim % 2 != 0:
            raise ValueError(f"rope_dim has to be even, not {rope_dim}")
        self.num_heads = num_heads
        self.qk_nope_head_dim = head_dim
        self.qk_rope_head_dim = rope_dim
        self.v_head_dim = head_dim
        self.kv_lora_rank = latent_dim
        self.q_head_dim = head_dim + rope_dim
        self.q_proj = nn.Linear(d_model, num_heads * self.q_head_dim, bias=False)
        self.kv_a_proj = nn.Linear(d_model, latent_dim + rope_dim, bias=False)
        self.kv_b_proj = nn.Linear(latent_dim, num_heads * (head_dim + head_dim), bias=False)
        self.o_proj = nn.Linear(num_heads * head_dim, d_model, bias=False)
        self.softmax_scale = self.q_head_dim ** (-0.5)

    def rotary(self, position_ids, dtype):
        inv_freq = 1.0 / (10000.0 ** (torch.arange(0, self.qk_rope_head_dim, 2).to(dtype) / self.qk_rope_head_dim))
        freqs = position_ids[:, None].to(dtype) * inv_freq[None, :]
        emb = torch.cat((freqs, freqs), dim=-1)
        return emb.cos(), emb.sin()

    def forward(self, x, cache=None):
        bsz, q_len, _ = x.size()
        past_len = 0 if cache is None else cache[0].shape[1]
        q = self.q_proj(x)
        q = q.view(bsz, q_len, self.num_heads, self.q_head_dim).transpose(1, 2)
        q_nope, q_pe = torch.split(q, [self.qk_nope_head_dim, self.qk_rope_head_dim], dim=-1)
        compressed_kv = self.kv_a_proj(x)
        compressed_kv, k_pe = torch.split(compressed_kv, [self.kv_lora_rank, self.qk_rope_head_dim], dim=-1)
        position_ids = torch.arange(past_len, past_len + q_len)
        cos, sin = self.rotary(position_ids, torch.float64 if x.dtype == torch.float64 else torch.float32)
        q_pe = apply_rotary_pos_emb(q_pe, cos, sin)
        k_pe = apply_rotary_pos_emb(k_pe, cos, sin)
        if cache is not None:
            compressed_kv = torch.cat([cache[0], compressed_kv], dim=1)
            k_pe = torch.cat([cache[1], k_pe], dim=1)
        new_cache = (compressed_kv, k_pe)
        kv_len = compressed_kv.shape[1]
        kv = self.kv_b_proj(nn.functional.layer_norm(compressed_kv, compressed_kv.shape[-1:]))
        kv = kv.view(bsz, kv_len, self.num_heads, self.qk_nope_head_dim + self.v_head_dim).transpose(1, 2)
        k_nope, value_states = torch.split(kv, [self.qk_nope_head_dim, self.v_head_dim], dim=-1)
        k_pe = k_pe.unsqueeze(1).expand(-1, self.num_heads, -1, -1)
        query_states = torch.cat([q_nope, q_pe], dim=-1)
        key_states = torch.cat([k_nope, k_pe], dim=-1)
        attn_weights = torch.matmul(query_states, key_states.transpose(2, 3)) * self.softmax_scale
        causal_mask = torch.full((q_len, kv_len), torch.finfo(x.dtype).min, dtype=x.dtype)
        causal_mask *= torch.arange(kv_len) > position_ids.reshape(-1, 1)
        attn_weights = attn_weights + causal_mask
        softmax_dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        attn_weights = nn.functional.softmax(attn_weights, dim=-1, dtype=softmax_dtype).to(query_states.dtype)
        attn_output = torch.matmul(attn_weights, value_states)
        attn_output = attn_output.transpose(1, 2).contiguous()
        attn_output = attn_output.reshape(bsz, q_len, self.num_heads * self.v_head_dim)
        return self.o_proj(attn_output), new_cache
