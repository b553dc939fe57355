"""assert for sizes."""
# cause: assert-instead-of-error

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class KVCache:
    keys: Tensor
    values: Tensor
    length: int

    def update(self, keys, values):
        end = self.length + keys.size(2)
        self.keys[:, :, self.length : end].copy_(keys)
        self.values[:, :, self.length : end].copy_(values)
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    @property
    def room(self):
        return self.keys.size(2) - self.length


class LlamaAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, rope_base=10000.0):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be divisible by num_heads")
        if num_heads % num_kv_heads != 0:
            raise ValueError("num_heads must be divisible by num_kv_heads")
        self.n_heads, self.n_kv, self.hd = num_heads, num_kv_heads, d_model // num_heads
        assert self.hd % 2 == 0
        self.base = rope_base
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.hd, bias=False)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.hd, bias=False)
        self.o_proj = nn.Linear(d_model, d_model, bias=False)

    def rotations(self, positions, dtype):
        """(L, E, E): row vectors are turned by x @ R."""
        half = self.hd // 2
        theta = positions.to(dtype)[:, None] * self.base ** (-2.0 * torch.arange(half, dtype=dtype) / self.hd)
        R = torch.zeros(len(positions), self.hd, self.hd, dtype=dtype)
        i = torch.arange(half)
        R[:, i, i] = R[:, i + half, i + half] = theta.cos()
        R[:, i, i + half] = theta.sin()
        R[:, i + half, i] = -theta.sin()
        return R

    def forward(self, x, cache):
        B, L, D = x.shape
        if cache.room < L:
            raise ValueError(f"room for {cache.room} tokens, not for {L}")
        start = cache.length
        q, k, v = (f(x).view(B, L, -1, self.hd).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        wide = x.dtype if x.dtype == torch.float64 else torch.float32
        R = self.rotations(torch.arange(start, start + L), wide)
        q, k = (q.to(wide)[..., None, :] @ R)[..., 0, :], (k.to(wide)[..., None, :] @ R)[..., 0, :]
        keys, values = cache.update(k.to(x.dtype), v)
        q = q.to(x.dtype).reshape(B, self.n_kv, -1, L, self.hd) * self.hd**-0.5
        scores = q @ keys[:, :, None].transpose(-2, -1)
        idx = torch.arange(keys.size(2))
        scores = scores.masked_fill(idx[None, :] > idx[start:, None], float("-inf"))
        out = scores.softmax(dim=-1) @ values[:, :, None]
        return self.o_proj(out.reshape(B, self.n_heads, L, self.hd).transpose(1, 2).reshape(B, L, D))
