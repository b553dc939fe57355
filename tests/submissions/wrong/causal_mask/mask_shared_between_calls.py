"""A mask is remembered by its sizes and handed out again, with what a caller wrote into it."""
# cause: none

import functools

import torch


@functools.lru_cache(maxsize=None)
def causal_mask(query_len, key_len=None):
    key_len = query_len if key_len is None else key_len
    return torch.ones(query_len, key_len, dtype=torch.bool).tril(key_len - query_len)


def additive_mask(mask, dtype=torch.float32):
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, float("-inf"))
