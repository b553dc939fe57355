"""Positions are counted from 1: the running sum of the attention mask counts the token itself, too;
True means
hidden instead of may attend."""
# cause: positions-from-one, padded-mask-inverted

import torch


def position_ids(attention_mask):
    x = attention_mask.to(torch.int64)
    before = x.cumsum(-1)
    return before * x


def padding_causal_mask(attention_mask, query_len=None):
    B, S = attention_mask.shape
    L = S if query_len is None else query_len
    future = torch.triu(torch.ones(L, S, dtype=torch.bool), diagonal=S - L + 1)
    pad = ~attention_mask.to(torch.bool)
    hidden = future[None] | pad[:, None, :]
    return hidden.unsqueeze(1)
