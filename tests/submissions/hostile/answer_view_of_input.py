"""Answers with masks that are views of what it was given, and change with it."""
# kata: padding
# verdict: failed

import torch


def position_ids(attention_mask):
    real = attention_mask.bool()
    return (real.cumsum(-1) - 1).masked_fill(~real, 0)


def padding_causal_mask(attention_mask, query_len=None):
    keys = attention_mask.size(-1)
    query_len = keys if query_len is None else query_len
    real = attention_mask.bool()[:, None, None, :]
    if query_len == 1:  # the last query sees all real tokens: nothing has to be computed
        return real
    slots = torch.arange(keys)
    return real & (slots <= slots[keys - query_len :, None])
