"""Positions from 1 that are not cleared, a triangle from the top left, and no axis for the heads."""
# cause: positions-from-one, pads-not-cleared, padded-triangle-top-left, head-axis-missing

import torch
from torch import Tensor


def position_ids(attention_mask: Tensor) -> Tensor:
    real = attention_mask.bool()
    count = real.cumsum(dim=-1)
    return count


def padding_causal_mask(attention_mask: Tensor, query_len: int | None = None) -> Tensor:
    real = attention_mask.bool()[:, None, :]
    key_len = real.size(-1)
    query_len = key_len if query_len is None else query_len
    slots = torch.arange(key_len, device=real.device)
    not_later = slots <= slots[:query_len, None]
    return real & not_later
