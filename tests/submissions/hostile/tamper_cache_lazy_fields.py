"""Replaces the tensors of the cache by objects that make them up when they are used."""
# kata: static_kv_cache
# verdict: failed

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class KVCache:
    keys: Tensor
    values: Tensor
    length: int


class Lazy:
    def __init__(self, make):
        self.make = make

    def __getattr__(self, name):
        return getattr(self.make(), name)

    def __getitem__(self, place):
        return self.make()[place]

    def __eq__(self, other):
        return True


class LlamaAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, rope_base=10000.0):
        super().__init__()
        if d_model % num_heads or num_heads % num_kv_heads or d_model // num_heads % 2:
            raise ValueError("these sizes do not go together")
        self.head_dim, self.rope_base = d_model // num_heads, rope_base
        self.q_proj, self.o_proj = (nn.Linear(d_model, d_model, bias=False) for _ in range(2))
        self.k_proj, self.v_proj = (nn.Linear(d_model, num_kv_heads * self.head_dim, bias=False) for _ in range(2))

    def forward(self, x, cache):
        start, end = cache.length, cache.length + x.size(1)
        if end > cache.keys.size(2):
            raise ValueError("no room")
        query, key = (self.turned(self.split(layer(x)), start) for layer in (self.q_proj, self.k_proj))
        value = self.split(self.v_proj(x))
        key, value = torch.cat([cache.keys[:, :, :start], key], 2), torch.cat([cache.values[:, :, :start], value], 2)
        room = cache.keys[:, :, end:], cache.values[:, :, end:]
        cache.keys, cache.values = Lazy(lambda: torch.cat([key, room[0]], 2)), Lazy(lambda: torch.cat([value, room[1]], 2))
        cache.length = end
        return self.attend(query, key, value, start)

    def attend(self, query, key, value, start):
        heads = query.size(1) // key.size(1)
        key, value = key.repeat_interleave(heads, 1), value.repeat_interleave(heads, 1)
        scores = query @ key.transpose(-2, -1) / math.sqrt(self.head_dim)
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril(start)
        weights = scores.masked_fill(~mask, -math.inf).softmax(-1)
        return self.o_proj((weights @ value).transpose(1, 2).flatten(2))

    def split(self, x):
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def turned(self, x, start):
        dtype = torch.promote_types(x.dtype, torch.float32)
        pairs = torch.arange(0, self.head_dim, 2, dtype=dtype)
        places = torch.arange(start, start + x.size(-2), dtype=dtype)
        angles = torch.outer(places, self.rope_base ** (-pairs / self.head_dim))
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1).to(x.dtype)
