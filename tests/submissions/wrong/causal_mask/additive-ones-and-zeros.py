"""additive_mask is the mask as 1 and 0 instead of 0 and -inf."""
# cause: additive-ones-and-zeros

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    offset = key_len - query_len
    mask = torch.tril(torch.ones(query_len, key_len), diagonal=offset)
    return mask.bool()


def additive_mask(mask, dtype=torch.float32):
    return mask.to(dtype)
