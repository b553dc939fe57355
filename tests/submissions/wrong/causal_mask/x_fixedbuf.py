"""The mask is cut from a buffer of 512 positions."""
# cause: none

import torch
_BUF = torch.ones(512, 512, dtype=torch.bool).tril()
def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    return _BUF[key_len - query_len:key_len, :key_len].clone()

def additive_mask(mask, dtype=torch.float32):
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, float("-inf"))
