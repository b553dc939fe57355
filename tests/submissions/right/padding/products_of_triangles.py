"""Sums are products with a triangle of ones, and the mask is an einsum of two."""

import torch


def position_ids(attention_mask):
    ones = attention_mask.double()
    S = ones.shape[-1]
    earlier = torch.ones(S, S, dtype=torch.float64).triu(1)
    before = torch.einsum("bk,ks->bs", ones, earlier)
    return (before * ones).round().long()


def padding_causal_mask(attention_mask, query_len=None):
    ones = attention_mask.double()
    S = ones.shape[-1]
    L = query_len or S
    lower = torch.tril(torch.ones(S, S, dtype=torch.float64))[S - L :]
    return torch.einsum("bk,qk->bqk", ones, lower).bool().unsqueeze(1)
