"""In the style of a library's own documentation: an additive bias is filled from the mask, everything in a row."""

import inspect
import math
import timeit
import unittest

import torch


def scaled_dot_product_attention(query, key, value, mask=None) -> torch.Tensor:
    L, S = query.size(-2), key.size(-2)
    scale_factor = 1 / math.sqrt(query.size(-1))
    attn_bias = torch.zeros(L, S, dtype=query.dtype, device=query.device)
    if mask is not None:
        attn_bias = attn_bias.masked_fill(mask.logical_not(), float("-inf"))

    attn_weight = (query * scale_factor) @ key.transpose(-2, -1)
    attn_weight = attn_weight + attn_bias
    if mask is not None:
        dead = mask.logical_not().all(dim=-1, keepdim=True)
        attn_weight = attn_weight.masked_fill(dead, 0.0)
        return torch.softmax(attn_weight, dim=-1).masked_fill(dead, 0.0) @ value
    return torch.softmax(attn_weight, dim=-1) @ value


class TestAttention(unittest.TestCase):
    def test_signature(self):
        parameters = inspect.signature(scaled_dot_product_attention).parameters
        self.assertEqual(list(parameters), ["query", "key", "value", "mask"])

    @unittest.skipIf(not torch.cuda.is_available(), "no GPU")
    def test_cuda(self):
        q = torch.rand(2, 3, 4, device="cuda")
        torch.testing.assert_close(scaled_dot_product_attention(q, q[:, :1], q[:, :1]), q[:, :1].expand_as(q))


def benchmark(number=10):
    q = torch.rand(8, 64, 64)
    return timeit.timeit(lambda: scaled_dot_product_attention(q, q, q), number=number) / number
