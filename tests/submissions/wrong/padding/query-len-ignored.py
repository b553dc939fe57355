"""Query_len is ignored: the mask has a row for each of the S slots."""
# cause: query-len-ignored

import torch


def position_ids(attention_mask):
    mask = attention_mask.to(torch.int64)
    pos = torch.cumsum(mask, dim=1) - 1
    pos = pos.clamp(min=0)
    return pos * mask


def padding_causal_mask(attention_mask, query_len=None):
    b, s = attention_mask.shape
    l = s if query_len is None else query_len
    causal = torch.tril(torch.ones(s, s))
    keys = attention_mask[:, None, None, :].float()
    full = causal[None, None] * keys
    return full.bool()
