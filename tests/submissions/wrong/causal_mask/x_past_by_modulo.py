"""The length of the past is key_len % query_len, which is right only below twice the query length."""
# cause: none

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    position_of_query = torch.arange(query_len)[:, None] + key_len % query_len
    position_of_key = torch.arange(key_len)[None, :]
    return position_of_key <= position_of_query


def additive_mask(mask, dtype=torch.float32):
    return torch.where(mask, torch.tensor(0.0, dtype=dtype), torch.tensor(float("-inf"), dtype=dtype))
