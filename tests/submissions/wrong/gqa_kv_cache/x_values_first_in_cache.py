"""The cache is (values, keys), in and out."""
# cause: cache-in-wrong-order

import torch
from torch import nn


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, bias=True):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be a multiple of num_heads")
        if num_heads % num_kv_heads:
            raise ValueError("num_heads must be a multiple of num_kv_heads")
        self.H, self.K, self.E = num_heads, num_kv_heads, d_model // num_heads
        self.q_proj = nn.Linear(d_model, self.H * self.E, bias=bias)
        self.k_proj = nn.Linear(d_model, self.K * self.E, bias=bias)
        self.v_proj = nn.Linear(d_model, self.K * self.E, bias=bias)
        self.o_proj = nn.Linear(self.H * self.E, d_model, bias=bias)

    def step(self, token, keys, values):
        # token (B, D)
        B = token.shape[0]
        k = self.k_proj(token).view(B, self.K, 1, self.E)
        v = self.v_proj(token).view(B, self.K, 1, self.E)
        keys = k if keys is None else torch.cat([keys, k], dim=2)
        values = v if values is None else torch.cat([values, v], dim=2)
        q = self.q_proj(token).view(B, self.K, self.H // self.K, self.E)  # the group takes the place of the length
        w = torch.softmax((q * self.E ** -0.5) @ keys.transpose(2, 3), dim=-1)
        return self.o_proj((w @ values).view(B, self.H * self.E)), keys, values

    def forward(self, x, kv_cache=None):
        values, keys = (None, None) if kv_cache is None else kv_cache
        outputs = []
        for token in x.unbind(dim=1):
            y, keys, values = self.step(token, keys, values)
            outputs.append(y)
        return torch.stack(outputs, dim=1), (values, keys)
