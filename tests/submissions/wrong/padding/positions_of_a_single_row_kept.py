"""Where no row has a pad, the positions are kept, and of a batch of one row they are handed out without a copy."""
# cause: none

from functools import cache

import torch
from torch import Tensor


@cache
def _slots(length: int) -> Tensor:
    return torch.arange(length)


def position_ids(attention_mask: Tensor) -> Tensor:
    real = attention_mask.bool()  # (B, S)
    if real.all():
        return _slots(real.size(1)).expand_as(real).contiguous()
    count = real.cumsum(dim=-1)  # (B, S), int64: each token counts itself
    return (count - 1).masked_fill(~real, 0)  # (B, S)


def padding_causal_mask(attention_mask: Tensor, query_len: int | None = None) -> Tensor:
    real = attention_mask.bool()[:, None, None, :]  # (B, 1, 1, S)
    key_len = real.size(-1)
    query_len = key_len if query_len is None else query_len
    slots = torch.arange(key_len, device=real.device)  # (S)
    not_later = slots <= slots[key_len - query_len :, None]  # (L, S)
    return real & not_later  # (B, 1, L, S): about keys alone, pads that are queries are not treated apart
