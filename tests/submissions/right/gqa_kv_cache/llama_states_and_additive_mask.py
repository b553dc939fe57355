"""Llama's names: states are joined, heads repeated, and a mask of -inf added."""
# star: none

import torch
from torch import Tensor, nn

KVCache = tuple[Tensor, Tensor]


def repeat_kv(hidden_states: Tensor, n_rep: int) -> Tensor:
    batch, kv_heads, slen, head_dim = hidden_states.shape
    if n_rep == 1:
        return hidden_states
    hidden_states = hidden_states[:, :, None, :, :].expand(batch, kv_heads, n_rep, slen, head_dim)
    return hidden_states.reshape(batch, kv_heads * n_rep, slen, head_dim)


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, bias: bool = True) -> None:
        super().__init__()
        for whole, part in ((d_model, num_heads), (num_heads, num_kv_heads)):
            if whole % part != 0:
                raise ValueError(f"{whole} is not divisible by {part}")
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads
        self.head_dim = d_model // num_heads
        self.scaling = self.head_dim**-0.5
        self.q_proj = nn.Linear(d_model, num_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(num_heads * self.head_dim, d_model, bias=bias)

    def forward(self, x: Tensor, kv_cache: KVCache | None = None) -> tuple[Tensor, KVCache]:
        bsz, q_len, _ = x.shape
        hidden_shape = (bsz, q_len, -1, self.head_dim)
        query_states = self.q_proj(x).view(hidden_shape).transpose(1, 2)
        key_states = self.k_proj(x).view(hidden_shape).transpose(1, 2)
        value_states = self.v_proj(x).view(hidden_shape).transpose(1, 2)
        past_len = 0
        if kv_cache is not None:
            past_len = kv_cache[0].shape[2]
            key_states = torch.cat((kv_cache[0], key_states), dim=2)
            value_states = torch.cat((kv_cache[1], value_states), dim=2)
        new_cache = (key_states, value_states)

        n_rep = self.num_heads // self.num_kv_heads
        keys, values = repeat_kv(key_states, n_rep), repeat_kv(value_states, n_rep)
        attn = torch.matmul(query_states * self.scaling, keys.transpose(2, 3))
        mask = torch.full((q_len, past_len + q_len), float("-inf"), dtype=attn.dtype, device=x.device)
        attn = attn + torch.triu(mask, diagonal=past_len + 1)
        attn = nn.functional.softmax(attn, dim=-1)
        out = torch.matmul(attn, values).transpose(1, 2).reshape(bsz, q_len, -1)
        return self.o_proj(out), new_cache
