"""Nothing but padding is hidden: every query sees all real keys."""
# cause: padded-triangle-missing

import torch
from torch import Tensor


def position_ids(attention_mask: Tensor) -> Tensor:
    real = attention_mask.bool()
    count = real.cumsum(dim=-1)
    return (count - 1).masked_fill(~real, 0)


def padding_causal_mask(attention_mask: Tensor, query_len: int | None = None) -> Tensor:
    real = attention_mask.bool()[:, None, None, :]
    key_len = real.size(-1)
    query_len = key_len if query_len is None else query_len
    slots = torch.arange(key_len, device=real.device)
    not_later = slots <= slots[key_len - query_len :, None]
    return real.expand(-1, 1, query_len, -1).clone()
