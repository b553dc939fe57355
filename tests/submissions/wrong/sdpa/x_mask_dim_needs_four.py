"""A mask with fewer dimensions than the scores gets its missing dimensions on the right of the batch: (H, L, S) is read as (B, 1, L, S)."""
# cause: mask-of-three-unsqueezed

import math

import torch
from torch.func import vmap


def scaled_dot_product_attention(query, key, value, mask=None):
    lead, L, S = query.shape[:-2], query.shape[-2], key.shape[-2]
    if mask is None:
        mask = query.new_ones((), dtype=torch.bool)
    if mask.dim() == 3 and len(lead) == 2:
        mask = mask.unsqueeze(1)
    mask = mask.expand(*lead, L, S)

    def plain(q, k, v, m):
        s = (q / math.sqrt(q.shape[-1])) @ k.T
        s = s.masked_fill(~m, torch.finfo(s.dtype).min)
        w = s.softmax(-1) * m
        return w @ v

    lifted = plain
    for _ in lead:
        lifted = vmap(lifted)
    return lifted(query, key, value, mask)
