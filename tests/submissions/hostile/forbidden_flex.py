"""Uses flex_attention."""
# kata: sdpa
# verdict: failed

import torch
from torch.nn.attention.flex_attention import flex_attention


def scaled_dot_product_attention(query, key, value, mask=None):
    four = [x.reshape(1, -1, *x.shape[-2:]) for x in (query, key, value)]
    if mask is None:
        return flex_attention(*four).reshape(*query.shape[:-1], value.size(-1))
    every = mask.broadcast_to(*query.shape[:-1], key.size(-2)).reshape(-1, query.size(-2), key.size(-2))
    allowed = lambda score, b, h, i, j: torch.where(every[h, i, j], score, -float("inf"))
    return flex_attention(*four, score_mod=allowed).reshape(*query.shape[:-1], value.size(-1))
