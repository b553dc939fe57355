"""In the style of a textbook with notebooks: a block for Colab at the head, a layer for the function, a self-test."""

import math
import sys

IN_COLAB = "google.colab" in sys.modules
if IN_COLAB:
    import subprocess

    from google.colab import drive

    drive.mount("/content/drive")
    subprocess.run([sys.executable, "-m", "pip", "install", "d2l"], check=True)

import torch
from torch import nn


def masked_softmax(X, valid):  # @save
    """Perform softmax operation by masking elements on the last axis."""
    if valid is None:
        return nn.functional.softmax(X, dim=-1)
    # elements that are masked out are replaced with a very large negative value, whose exponentiation outputs 0
    X = X.masked_fill(~valid, torch.finfo(X.dtype).min)
    return nn.functional.softmax(X, dim=-1) * valid


class DotProductAttention(nn.Module):  # @save
    """Scaled dot product attention."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries, keys, values, valid=None):
        d = queries.shape[-1]
        scores = torch.matmul(queries / math.sqrt(d), keys.transpose(-2, -1))
        self.attention_weights = masked_softmax(scores, valid)
        return torch.matmul(self.dropout(self.attention_weights), values)


def scaled_dot_product_attention(query, key, value, mask=None):
    return DotProductAttention()(query, key, value, mask)


def check_shape(a, shape):
    assert a.shape == shape, f"tensor's shape {a.shape} != expected shape {shape}"


def self_test():
    queries, keys = torch.normal(0, 1, (2, 1, 2)), torch.ones((2, 10, 2))
    values = torch.arange(40, dtype=torch.float32).reshape(1, 10, 4).repeat(2, 1, 1)
    check_shape(scaled_dot_product_attention(queries, keys, values), (2, 1, 4))


self_test()
