"""The mask is uint8, as it was before bool tensors."""
# cause: mask-not-bool

import torch


def causal_mask(query_len, key_len=None):
    key_len = query_len if not key_len else key_len
    m = torch.zeros(query_len, key_len).byte()
    rows, cols = torch.tril_indices(query_len, key_len, offset=key_len - query_len)
    m[rows, cols] = 1
    return m


def additive_mask(mask, dtype=torch.float32):
    # log 1 = 0, log 0 = -inf
    return mask.to(dtype).log()
