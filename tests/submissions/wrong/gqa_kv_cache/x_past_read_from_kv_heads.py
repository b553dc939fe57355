"""The length of the past is read from the dimension of the key/value heads."""
# cause: past-length-from-heads

import torch
import torch.nn.functional as F
from torch import nn


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, bias=True):
        super().__init__()
        if d_model % num_heads != 0: raise ValueError(f"{d_model} % {num_heads} != 0")
        if num_heads % num_kv_heads != 0: raise ValueError(f"{num_heads} % {num_kv_heads} != 0")
        self.n, self.kv, self.e = num_heads, num_kv_heads, d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.e, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.e, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x, kv_cache=None):
        b, l, _ = x.shape
        lin = lambda name: F.linear(x, getattr(self, name).weight, getattr(self, name).bias)
        q = lin("q_proj").reshape(b, l, self.kv, -1, self.e)
        k = torch.einsum("blke->bkle", lin("k_proj").reshape(b, l, self.kv, self.e))
        v = torch.einsum("blke->bkle", lin("v_proj").reshape(b, l, self.kv, self.e))
        past = 0
        if kv_cache is not None:
            past = kv_cache[0].size(1)
            k, v = torch.cat((kv_cache[0], k), 2), torch.cat((kv_cache[1], v), 2)
        s = torch.einsum("blkge,bkse->bkgls", q / self.e ** 0.5, k)
        i = torch.arange(past, past + l, device=x.device)
        j = torch.arange(k.size(2), device=x.device)
        s = torch.where(i[:, None] >= j[None, :], s, torch.tensor(float("-inf"), dtype=s.dtype, device=s.device))
        y = torch.einsum("bkgls,bkse->blkge", F.softmax(s, dim=-1), v).reshape(b, l, -1)
        return F.linear(y, self.o_proj.weight, self.o_proj.bias), (k, v)
