"""A pad's slot is moved behind all queries, so that one comparison does all; positions come from sorting."""

import torch


def position_ids(attention_mask):
    real = attention_mask.bool()
    order = torch.argsort((~real).long(), dim=1, stable=True)
    rank = torch.argsort(order, dim=1)
    return rank.where(real, torch.tensor(0))


def padding_causal_mask(attention_mask, query_len=None):
    S = attention_mask.size(1)
    L = S if query_len is None else query_len
    slots = torch.arange(S).expand(attention_mask.shape)
    keys = slots.masked_fill(attention_mask == 0, S)
    return keys.unsqueeze(1).unsqueeze(1).le(slots[0, S - L :].view(1, 1, L, 1))
