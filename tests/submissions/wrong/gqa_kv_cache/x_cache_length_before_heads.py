"""The cache is kept as (B, past, K, E): the layer agrees with itself and not with the contract."""
# cause: cache-token-major

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class State:
    keys: list
    values: list

    def pack(self):
        return torch.stack(self.keys, dim=2), torch.stack(self.values, dim=2)


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model is not a multiple of num_heads")
        if num_heads % num_kv_heads:
            raise ValueError("num_heads is not a multiple of num_kv_heads")
        self.num_kv_heads = num_kv_heads
        self.group = num_heads // num_kv_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x, kv_cache=None):
        queries = self.q_proj(x).split(self.head_dim, dim=-1)
        state = State(list(self.k_proj(x).split(self.head_dim, -1)), list(self.v_proj(x).split(self.head_dim, -1)))
        heads = []
        for n in range(self.num_kv_heads):
            if kv_cache is not None:
                state.keys[n] = torch.cat([kv_cache[0][:, :, n], state.keys[n]], dim=1)
                state.values[n] = torch.cat([kv_cache[1][:, :, n], state.values[n]], dim=1)
            k, v = state.keys[n], state.values[n]  # (B, S, E)
            for q in queries[n * self.group : (n + 1) * self.group]:  # (B, L, E)
                scores = torch.bmm(q / math.sqrt(self.head_dim), k.transpose(1, 2))
                allowed = torch.ones_like(scores, dtype=torch.bool).tril(k.size(1) - q.size(1))
                heads.append(torch.bmm(scores.masked_fill(~allowed, -math.inf).softmax(-1), v))
        return self.o_proj(torch.cat(heads, dim=-1)), state.pack()


if __name__ == "__main__":
    layer = CachedGroupedQueryAttention(24, 6, 3)
    x = torch.randn(2, 9, 24)
    whole, (keys, values) = layer(x)
    first, cache = layer(x[:, :4])
    second, _ = layer(x[:, 4:], cache)
    print("chunks", (torch.cat([first, second], 1) - whole).abs().max().item())
    q = layer.q_proj(x).view(2, 9, 6, 4).transpose(1, 2)
    y = F.scaled_dot_product_attention(q, keys, values, is_causal=True, enable_gqa=True)
    print("torch ", (layer.o_proj(y.transpose(1, 2).reshape(2, 9, 24)) - whole).abs().max().item())
