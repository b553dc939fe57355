"""With keys from before, a query does not see its own position."""
# cause: triangle-strict

import torch


def causal_mask(query_len, key_len=None):
    if key_len is None:
        key_len = query_len
    position_of_query = torch.arange(key_len - query_len, key_len)[:, None]
    position_of_key = torch.arange(key_len)[None, :]
    if key_len > query_len:
        return position_of_key < position_of_query
    return position_of_key <= position_of_query


def additive_mask(mask, dtype=torch.float32):
    return torch.where(mask, torch.tensor(0.0, dtype=dtype), torch.tensor(float("-inf"), dtype=dtype))
