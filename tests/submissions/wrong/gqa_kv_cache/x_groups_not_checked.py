"""Only the first of the two divisibility conditions is checked."""
# cause: groups-unchecked

import torch
from torch import nn
from torch.nn.functional import linear, softmax


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be divisible by num_heads")
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    @property
    def qkv_weight(self):
        return torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])

    @property
    def qkv_bias(self):
        if self.q_proj.bias is None:
            return None
        return torch.cat([self.q_proj.bias, self.k_proj.bias, self.v_proj.bias])

    def forward(self, x, kv_cache=None):
        b, l, d = x.shape
        h, n, e = self.num_heads, self.num_kv_heads, self.head_dim
        qkv = linear(x, self.qkv_weight, self.qkv_bias).view(b, l, h + 2 * n, e).transpose(1, 2)
        q, k, v = qkv.split([h, n, n], dim=1)
        if kv_cache is not None:
            k, v = (torch.cat([old, new], dim=2) for old, new in zip(kv_cache, (k, v)))
        s = k.shape[2]
        mask = torch.zeros(l, s, dtype=torch.bool, device=x.device)
        for i in range(l):
            mask[i, : s - l + i + 1] = True
        mask = mask.repeat(h // n, 1)  # the heads of a group lie one after another
        rows = (q / e ** 0.5).reshape(b, n, h // n * l, e)
        a = softmax((rows @ k.transpose(2, 3)).masked_fill(~mask, float("-inf")), dim=-1)
        y = (a @ v).reshape(b, h, l, e).transpose(1, 2).reshape(b, l, d)
        return self.o_proj(y), (k, v)
