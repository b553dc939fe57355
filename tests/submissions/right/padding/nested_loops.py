"""Every token and every pair by itself, in loops."""

import torch


def position_ids(attention_mask):
    B, S = attention_mask.shape
    out = torch.zeros(B, S, dtype=torch.long)
    for b in range(B):
        seen = 0
        for s in range(S):
            if attention_mask[b, s]:
                out[b, s] = seen
                seen += 1
    return out


def padding_causal_mask(attention_mask, query_len=None):
    B, S = attention_mask.shape
    L = S if query_len is None else query_len
    real = attention_mask.tolist()
    out = torch.zeros(B, 1, L, S, dtype=torch.bool)
    for b in range(B):
        for i in range(L):
            slot = S - L + i
            for k in range(slot + 1):
                if real[b][k]:
                    out[b, 0, i, k] = True
    return out
