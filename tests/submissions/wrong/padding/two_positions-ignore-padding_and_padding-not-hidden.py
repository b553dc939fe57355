"""A position is the slot, 0, 1, 2, ..., whatever the padding;
pads are not hidden: the mask is the causal one for
every row."""
# cause: positions-ignore-padding, padding-not-hidden

import torch


def position_ids(attention_mask):
    x = attention_mask.to(torch.int64)
    return torch.arange(x.size(1)).repeat(x.size(0), 1)


def padding_causal_mask(attention_mask, query_len=None):
    B, S = attention_mask.shape
    L = S if query_len is None else query_len
    future = torch.triu(torch.ones(L, S, dtype=torch.bool), diagonal=S - L + 1)
    hidden = future[None].expand(B, -1, -1)
    return (~hidden).unsqueeze(1)
