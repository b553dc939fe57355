"""additive_mask has +inf instead of -inf."""
# cause: additive-positive

import math

import torch


def causal_mask(query_len, key_len=None):
    n_keys = query_len if key_len is None else key_len
    rows = torch.arange(query_len).unsqueeze(1) + (n_keys - query_len)
    cols = torch.arange(n_keys).unsqueeze(0)
    return cols <= rows


def additive_mask(mask, dtype=torch.float32):
    allowed = torch.zeros((), dtype=dtype)
    hidden = torch.full((), math.inf, dtype=dtype)
    return torch.where(mask, allowed, hidden)
