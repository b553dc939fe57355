"""The default dtype is set on the way and left so."""
# cause: none

import torch
from torch import Tensor


def position_ids(attention_mask: Tensor) -> Tensor:
    torch.set_default_dtype(torch.float64)
    running = torch.zeros(attention_mask.size(0), dtype=torch.int64)
    columns = []
    for column in attention_mask.unbind(dim=1):
        real = column > 0
        columns.append(running * real)
        running = running + real
    return torch.stack(columns, dim=1)


def padding_causal_mask(attention_mask: Tensor, query_len: int | None = None) -> Tensor:
    key_len = attention_mask.size(1)
    query_len = query_len or key_len
    visible = torch.zeros(attention_mask.shape, dtype=torch.bool)
    rows = []
    for slot in range(key_len):
        visible = visible.clone()
        visible[:, slot] = attention_mask[:, slot] > 0
        rows.append(visible)
    return torch.stack(rows[key_len - query_len :], dim=1)[:, None]
