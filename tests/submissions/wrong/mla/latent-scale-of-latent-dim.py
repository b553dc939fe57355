"""The scale is that of the latents, which the queries meet."""
# cause: latent-scale-of-latent-dim

import torch
from torch import nn


def apply_rotary_emb(x, freqs_cis):
    # x (b, s, h, d), the two halves of d as real and imaginary parts
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    re, im = x.to(wide).chunk(2, dim=-1)
    z = torch.complex(re, im) * freqs_cis.view(1, x.size(1), 1, -1)
    return torch.cat([z.real, z.imag], dim=-1).to(x.dtype)


class LatentAttention(nn.Module):
    def __init__(self, d_model, num_heads, head_dim, rope_dim, latent_dim):
        super().__init__()
        if rope_dim % 2:
            raise ValueError("rope_dim: " + str(rope_dim) + " is odd")
        self.n_local_heads = num_heads
        self.kv_lora_rank = latent_dim
        self.qk_nope_head_dim = head_dim
        self.qk_rope_head_dim = rope_dim
        self.qk_head_dim = head_dim + rope_dim
        self.q_proj = nn.Linear(d_model, num_heads * self.qk_head_dim, bias=False)
        self.kv_a_proj = nn.Linear(d_model, latent_dim + rope_dim, bias=False)
        self.kv_b_proj = nn.Linear(latent_dim, num_heads * (head_dim + head_dim), bias=False)
        self.o_proj = nn.Linear(num_heads * head_dim, d_model, bias=False)
        self.softmax_scale = latent_dim**-0.5

    def freqs(self, start, end, dtype):
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        freqs = 1.0 / (10000.0 ** (torch.arange(0, self.qk_rope_head_dim, 2, dtype=wide) / self.qk_rope_head_dim))
        angles = torch.outer(torch.arange(start, end, dtype=wide), freqs)
        return torch.polar(torch.ones_like(angles), angles)

    def forward(self, x, cache=None):
        bsz, seqlen, _ = x.shape
        start_pos = cache[0].shape[1] if cache is not None else 0
        end_pos = start_pos + seqlen
        freqs_cis = self.freqs(start_pos, end_pos, x.dtype)
        q = self.q_proj(x).view(bsz, seqlen, self.n_local_heads, self.qk_head_dim)
        q_nope, q_pe = q.split([self.qk_nope_head_dim, self.qk_rope_head_dim], dim=-1)
        q_pe = apply_rotary_emb(q_pe, freqs_cis)
        kv, k_pe = self.kv_a_proj(x).split([self.kv_lora_rank, self.qk_rope_head_dim], dim=-1)
        k_pe = apply_rotary_emb(k_pe.unsqueeze(2), freqs_cis).squeeze(2)
        if cache is not None:
            kv = torch.cat([cache[0], kv], dim=1)
            k_pe = torch.cat([cache[1], k_pe], dim=1)
        wkv_b = self.kv_b_proj.weight.view(self.n_local_heads, -1, self.kv_lora_rank)
        q_nope = torch.einsum("bshd,hdc->bshc", q_nope, wkv_b[:, : self.qk_nope_head_dim])
        scores = torch.einsum("bshc,btc->bsht", q_nope * self.softmax_scale, kv)
        scores = scores + torch.einsum("bshr,btr->bsht", q_pe * self.softmax_scale, k_pe)
        mask = torch.full((seqlen, end_pos), float("-inf"), dtype=x.dtype).triu_(start_pos + 1)
        scores = (scores + mask.unsqueeze(1)).softmax(dim=-1)
        out = torch.einsum("bsht,btc->bshc", scores, kv)
        out = torch.einsum("bshc,hdc->bshd", out, wkv_b[:, -self.qk_nope_head_dim :])
        return self.o_proj(out.flatten(2)), (kv, k_pe)
