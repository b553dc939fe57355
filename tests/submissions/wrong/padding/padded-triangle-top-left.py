"""The queries are taken for the first of the slots (top-left) and not for the last (bottom-right)."""
# cause: padded-triangle-top-left

import torch


def position_ids(attention_mask):
    x = attention_mask.to(torch.int64)
    before = x.cumsum(-1) - x
    return before * x


def padding_causal_mask(attention_mask, query_len=None):
    B, S = attention_mask.shape
    L = S if query_len is None else query_len
    future = torch.triu(torch.ones(L, S, dtype=torch.bool), diagonal=1)
    pad = ~attention_mask.to(torch.bool)
    hidden = future[None] | pad[:, None, :]
    return (~hidden).unsqueeze(1)
