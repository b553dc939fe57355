"""tril_indices scatter into zeros; the additive form is the logarithm of the mask."""

import torch


def causal_mask(query_len, key_len=None):
    key_len = query_len if not key_len else key_len
    m = torch.zeros(query_len, key_len).bool()
    rows, cols = torch.tril_indices(query_len, key_len, offset=key_len - query_len)
    m[rows, cols] = True
    return m


def additive_mask(mask, dtype=torch.float32):
    # log 1 = 0, log 0 = -inf
    return mask.to(dtype).log()
