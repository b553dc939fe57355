"""A base class with hooks, online softmax over keys one at a time, dropout by a hand-made Bernoulli mask."""
# star: none

import abc
import math

import torch
from torch import Tensor, nn


class OnlineAttention(nn.Module, abc.ABC):
    @abc.abstractmethod
    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...

    def keep(self, p: Tensor) -> Tensor:
        if not self.training:
            return p
        rate = self.rate
        survivors = (torch.rand_like(p) >= rate).to(p.dtype)
        return p * survivors if rate in (0.0, 1.0) else p * survivors / (1.0 - rate)

    def run(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        top = torch.full_like(q[..., :1], -math.inf)
        den = torch.zeros_like(q[..., :1])
        num = torch.zeros_like(q)
        for j in range(k.shape[-2]):
            seen = mask[..., j : j + 1]
            s = (q * k[..., j : j + 1, :]).sum(-1, keepdim=True)
            new_top = torch.where(seen, torch.maximum(top, s), top).detach()
            safe_top = torch.where(new_top.isinf(), torch.zeros_like(new_top), new_top)
            p = torch.where(seen, (torch.where(seen, s, safe_top) - safe_top).exp(), torch.zeros_like(s))
            shrink = (top - safe_top).exp()
            den = den * shrink + p
            num = num * shrink + self.keep(p) * v[..., j : j + 1, :]
            top = new_top
        return num / den.masked_fill(den == 0, 1)


class GroupedQueryAttention(OnlineAttention):
    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, dropout: float = 0.0, bias: bool = True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model is not a multiple of num_heads")
        if num_heads % num_kv_heads:
            raise ValueError("num_heads is not a multiple of num_kv_heads")
        self.rate = float(dropout)
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, self.head_dim * num_kv_heads, bias=bias)
        self.v_proj = nn.Linear(d_model, self.head_dim * num_kv_heads, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def project(self, query, key, value):
        group = self.num_heads // self.num_kv_heads
        q = self.q_proj(query).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        k = self.k_proj(key).unflatten(2, (self.num_kv_heads, -1)).transpose(1, 2)
        v = self.v_proj(value).unflatten(2, (self.num_kv_heads, -1)).transpose(1, 2)
        which = [h // group for h in range(self.num_heads)]
        return q / math.sqrt(self.head_dim), k[:, which], v[:, which]

    def forward(self, query, key, value, mask=None):
        q, k, v = self.project(query, key, value)
        if mask is None:
            mask = torch.ones(1, 1, dtype=torch.bool, device=q.device)
        elif mask.dim() == 3:
            mask = mask.unsqueeze(1)
        mask = mask.expand(*q.shape[:3], k.shape[2])
        up = torch.promote_types(q.dtype, torch.float32)
        heads = self.run(q.to(up), k.to(up), v.to(up), mask).to(query.dtype)
        return self.o_proj(heads.transpose(1, 2).flatten(2))
