"""The additive form is made for masks with two dimensions or more."""
# cause: none

import torch
def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    return torch.ones(query_len, key_len, dtype=torch.bool).tril(key_len - query_len)

def additive_mask(mask, dtype=torch.float32):
    return torch.stack([torch.zeros(r.shape, dtype=dtype).masked_fill(~r, float("-inf")) for r in mask])
