"""The first real slot of a row that has none is taken to be slot 0, so that its pads have positions 0, 1, 2, ..."""
# cause: none

import torch


def position_ids(attention_mask):
    real = attention_mask != 0
    slots = torch.arange(real.size(1))
    first = real.int().argmax(dim=1, keepdim=True)
    pos = slots - first
    pos = torch.where(real, pos, torch.zeros_like(pos))
    pos[~real.any(1)] = slots
    return pos


def padding_causal_mask(attention_mask, query_len=None):
    real = attention_mask != 0
    S = real.size(1)
    L = S if query_len is None else query_len
    idx = torch.arange(S)
    causal = idx[None, :] <= idx[S - L :, None]
    m = causal[None] & real[:, None, :]
    return m[:, None]
