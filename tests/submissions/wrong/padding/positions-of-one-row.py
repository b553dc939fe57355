"""Positions are a single row, (S,) or (1, S), instead of one for each row of the batch."""
# cause: positions-of-one-row

import torch


def position_ids(attention_mask):
    real = attention_mask != 0
    slots = torch.arange(real.size(1))
    first = real.int().argmax(dim=1, keepdim=True)
    pos = slots - first
    return torch.where(real, pos, torch.zeros_like(pos))[0]


def padding_causal_mask(attention_mask, query_len=None):
    real = attention_mask != 0
    S = real.size(1)
    L = S if query_len is None else query_len
    idx = torch.arange(S)
    causal = idx[None, :] <= idx[S - L :, None]
    m = causal[None] & real[:, None, :]
    return m[:, None]
