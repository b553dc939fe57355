"""The slots are numbered in the dtype of the attention mask, which for long rows cannot hold their numbers."""
# cause: none

import torch
from torch import Tensor


def position_ids(attention_mask: Tensor) -> Tensor:
    real = attention_mask.bool()  # (B, S)
    count = real.cumsum(dim=-1)  # (B, S), int64: each token counts itself
    return (count - 1).masked_fill(~real, 0)  # (B, S)


def padding_causal_mask(attention_mask: Tensor, query_len: int | None = None) -> Tensor:
    real = attention_mask.bool()[:, None, None, :]  # (B, 1, 1, S)
    key_len = real.size(-1)
    query_len = key_len if query_len is None else query_len
    dtype = torch.int64 if attention_mask.dtype == torch.bool else attention_mask.dtype
    slots = torch.arange(key_len, device=real.device).to(dtype)  # (S)
    not_later = slots <= slots[key_len - query_len :, None]  # (L, S)
    return real & not_later  # (B, 1, L, S): about keys alone, pads that are queries are not treated apart
