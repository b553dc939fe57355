"""The queries are taken for the last of a row's real tokens, not for the last of its slots."""
# cause: queries-after-real-tokens

import torch


def _sides(attention_mask):
    real = attention_mask.bool()
    left = (real.cumsum(1) == 0).sum(1)
    right = (real.flip(1).cumsum(1) == 0).sum(1)
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
    n = S - left - right
    query = torch.arange(L)[:, None] + n - L
    return (key >= left) & (key < S - right) & (key <= query)
