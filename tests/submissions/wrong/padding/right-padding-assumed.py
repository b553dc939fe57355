"""All pads are taken to be on the right: a row's first n slots count as its n real tokens."""
# cause: right-padding-assumed

import torch


def _sides(attention_mask):
    real = attention_mask.bool()
    right = (~real).sum(1)
    left = torch.zeros_like(right)
    return left[:, None], right[:, None]


def position_ids(attention_mask):
    S = attention_mask.shape[1]
    left, right = _sides(attention_mask)
    s = torch.arange(S).expand(len(attention_mask), S)
    inside = (s >= left) & (s < S - right)
    return (s - left).masked_fill(~inside, 0)


def padding_causal_mask(attention_mask, query_len=None):
    S = attention_mask.shape[1]
    L = query_len if query_len else S
    left, right = (n[:, :, None, None] for n in _sides(attention_mask))
    key = torch.arange(S)
    query = torch.arange(S - L, S)[:, None]
    return (key >= left) & (key < S - right) & (key <= query)
