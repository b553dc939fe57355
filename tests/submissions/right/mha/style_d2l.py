"""In the style of a textbook: queries, keys and values are moved between three and four dimensions by two methods."""

import math
import sys

import torch
from torch import nn

if "google.colab" in sys.modules:
    import os

    os.system("pip install -q d2l==1.0.3")


class DotProductAttention(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries, keys, values, mask=None):
        d = queries.shape[-1]
        scores = torch.bmm(queries / math.sqrt(d), keys.transpose(1, 2))
        if mask is None:
            weights = nn.functional.softmax(scores, dim=-1)
        else:
            weights = nn.functional.softmax(scores.masked_fill(~mask, -6e4), dim=-1) * mask
        return torch.bmm(self.dropout(weights), values)


class MultiHeadAttention(nn.Module):
    """Multi-head attention."""

    def __init__(self, d_model, num_heads, dropout=0.0, bias=True, **kwargs):
        super().__init__(**kwargs)
        if d_model % num_heads:
            raise ValueError("num_hiddens has to be a multiple of num_heads")
        self.num_heads = num_heads
        self.attention = DotProductAttention(dropout)
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def transpose_qkv(self, X):
        """Transposition for parallel computation of multiple attention heads."""
        X = X.reshape(X.shape[0], X.shape[1], self.num_heads, -1)
        X = X.permute(0, 2, 1, 3)
        return X.reshape(-1, X.shape[2], X.shape[3])

    def transpose_output(self, X):
        """Reverse the operation of transpose_qkv."""
        X = X.reshape(-1, self.num_heads, X.shape[1], X.shape[2])
        X = X.permute(0, 2, 1, 3)
        return X.reshape(X.shape[0], X.shape[1], -1)

    def forward(self, query, key, value, mask=None):
        queries = self.transpose_qkv(self.q_proj(query))
        keys = self.transpose_qkv(self.k_proj(key))
        values = self.transpose_qkv(self.v_proj(value))
        if mask is not None:
            if mask.dim() == 2:
                mask = mask[None]
            if mask.dim() == 3:
                mask = mask[:, None]
            shape = (query.shape[0], self.num_heads, query.shape[1], key.shape[1])
            mask = mask.expand(shape).reshape(-1, query.shape[1], key.shape[1])
        output = self.attention(queries, keys, values, mask)
        return self.o_proj(self.transpose_output(output))


num_hiddens, num_heads = 100, 5
attention = MultiHeadAttention(num_hiddens, num_heads, 0.5)
batch_size, num_queries, num_kvpairs = 2, 4, 6
X = torch.ones((batch_size, num_queries, num_hiddens))
Y = torch.ones((batch_size, num_kvpairs, num_hiddens))
assert attention(X, Y, Y).shape == (batch_size, num_queries, num_hiddens)
