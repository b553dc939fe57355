"""~ is applied to an attention mask of integers, where ~1 is -2 and ~0 is -1: both are true."""
# cause: integers-inverted

import torch


def position_ids(attention_mask):
    x = attention_mask.to(torch.int64)
    before = x.cumsum(-1) - x
    return before.masked_fill((~attention_mask).bool(), 0)


def padding_causal_mask(attention_mask, query_len=None):
    B, S = attention_mask.shape
    L = S if query_len is None else query_len
    future = torch.triu(torch.ones(L, S, dtype=torch.bool), diagonal=S - L + 1)
    pad = (~attention_mask).to(torch.bool)
    hidden = future[None] | pad[:, None, :]
    return (~hidden).unsqueeze(1)
