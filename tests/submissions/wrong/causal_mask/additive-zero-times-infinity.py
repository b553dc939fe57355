"""additive_mask is (1 - mask) * -inf, where 0 * -inf is NaN."""
# cause: additive-zero-times-infinity

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    offset = key_len - query_len
    mask = torch.tril(torch.ones(query_len, key_len), diagonal=offset)
    return mask.bool()


def additive_mask(mask, dtype=torch.float32):
    out = (1.0 - mask.to(dtype)) * float("-inf")
    return out
