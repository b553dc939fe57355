"""Positions are compared instead of slots, and those of pads are 0."""
# cause: order-by-position

import torch


def position_ids(attention_mask):
    real = attention_mask != 0
    slots = torch.arange(real.size(1))
    first = real.int().argmax(dim=1, keepdim=True)
    pos = slots - first
    return torch.where(real, pos, torch.zeros_like(pos))


def padding_causal_mask(attention_mask, query_len=None):
    real = attention_mask != 0
    S = real.size(1)
    L = S if query_len is None else query_len
    pos = position_ids(attention_mask)
    causal = pos[:, None, :] <= pos[:, S - L :, None]
    m = causal & real[:, None, :]
    return m[:, None]
