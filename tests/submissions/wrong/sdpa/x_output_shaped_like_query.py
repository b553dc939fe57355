"""The output is reshaped to the width of the query, not of the value."""
# cause: none

import math
from typing import Optional

import torch
from torch import Tensor


def _one_query(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    # q (E,), keys (n, E), values (n, Ev); n may be 0, then both sums are empty and the result is zeros
    logits = torch.mv(keys, q / math.sqrt(q.numel()))
    probs = torch.softmax(logits, dim=0)
    return (probs.unsqueeze(1) * values).sum(dim=0)


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Optional[Tensor] = None) -> Tensor:
    *lead, L, E = query.shape
    S, Ev = key.shape[-2], value.shape[-1]
    if mask is None:
        mask = torch.ones(L, S, dtype=torch.bool, device=query.device)
    dtype = query.dtype
    if dtype in (torch.float16, torch.bfloat16):
        query, key, value = query.float(), key.float(), value.float()
    allowed = mask.expand(*lead, L, S).reshape(-1, L, S)
    qs, ks, vs = query.reshape(-1, L, E), key.reshape(-1, S, E), value.reshape(-1, S, Ev)
    rows = []
    for b in range(qs.size(0)):
        for i in range(L):
            seen = allowed[b, i].nonzero().flatten()
            rows.append(_one_query(qs[b, i], ks[b].index_select(0, seen), vs[b].index_select(0, seen)))
    return torch.stack(rows).reshape(*lead, L, E).to(dtype)
