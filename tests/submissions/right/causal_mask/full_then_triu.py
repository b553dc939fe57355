"""torch.full of -inf cut by triu, the boolean form read off it; the additive form fills a zeros_like in place."""

import torch


def causal_mask(query_len, key_len=None):
    n = query_len if key_len is None else key_len
    bias = torch.full((query_len, n), float("-inf")).triu_(n - query_len + 1)
    return bias == 0


def additive_mask(mask, dtype=torch.float32):
    bias = torch.zeros_like(mask, dtype=dtype, memory_format=torch.contiguous_format)
    bias[~mask] = float("-inf")
    return bias
