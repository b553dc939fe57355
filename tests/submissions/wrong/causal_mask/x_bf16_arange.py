"""The positions are bfloat16 numbers, which are exact to 256 only."""
# cause: none

import torch
def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    return torch.arange(key_len).bfloat16()[None] <= torch.arange(key_len - query_len, key_len).bfloat16()[:, None]

def additive_mask(mask, dtype=torch.float32):
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, float("-inf"))
