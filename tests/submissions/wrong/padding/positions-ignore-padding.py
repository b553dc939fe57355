"""A position is the slot, 0, 1, 2, ..., whatever the padding."""
# cause: positions-ignore-padding

import torch


def position_ids(attention_mask):
    real = attention_mask != 0
    slots = torch.arange(real.size(1))
    first = real.int().argmax(dim=1, keepdim=True)
    pos = slots - first
    return slots.expand(real.shape).contiguous()


def padding_causal_mask(attention_mask, query_len=None):
    real = attention_mask != 0
    S = real.size(1)
    L = S if query_len is None else query_len
    idx = torch.arange(S)
    causal = idx[None, :] <= idx[S - L :, None]
    m = causal[None] & real[:, None, :]
    return m[:, None]
