"""Whether the new tokens of a row fit is seen when that row is written: the rows before it are written by then."""
# cause: room-seen-row-by-row

import math
from collections.abc import Iterator

import torch
from torch import Tensor


def write(
    key_pages: Tensor, value_pages: Tensor, block_table: Tensor, lengths: Tensor, keys: Tensor, values: Tensor
) -> None:
    page, L = key_pages.size(1), keys.size(2)
    for row, start in enumerate(lengths.tolist()):
        positions = torch.arange(start, start + L, device=lengths.device)  # (L,)
        if start + L > block_table.size(1) * page:
            raise ValueError(f"{L} tokens more do not fit into {block_table.size(1)} pages of {page}")
        pages, slots = block_table[row, positions // page], positions % page  # (L,) twice
        key_pages[pages, slots] = keys[row].transpose(0, 1)  # (L, K, E)
        value_pages[pages, slots] = values[row].transpose(0, 1)


def paged_attention(
    query: Tensor, key_pages: Tensor, value_pages: Tensor, block_table: Tensor, lengths: Tensor
) -> Tensor:
    (B, H, L, E), K = query.shape, key_pages.size(2)
    dtype = torch.promote_types(query.dtype, torch.float32)
    rows = (query.to(dtype) / math.sqrt(E)).reshape(B, K, H // K * L, E)  # (B, K, H/K * L, E)
    output = torch.zeros_like(rows)  # (B, K, H/K * L, E)
    for row, (table, length) in enumerate(zip(block_table, lengths.tolist(), strict=True)):
        scores = rows.new_empty(K, H // K * L, length)  # (K, H/K * L, S)
        for part, key in _parts(key_pages, table, length):
            scores[..., part] = rows[row] @ key.to(dtype).permute(1, 2, 0)  # (K, H/K * L, n)
        mask = torch.ones(L, length, dtype=torch.bool, device=query.device).tril(length - L)  # (L, S)
        scores.view(K, H // K, L, length).masked_fill_(~mask, -math.inf)
        weights = scores.softmax(dim=-1)  # (K, H/K * L, S)
        for part, value in _parts(value_pages, table, length):
            output[row] += weights[..., part] @ value.to(dtype).transpose(0, 1)  # (K, H/K * L, E)
    return output.view(B, H, L, E).to(query.dtype)


def _parts(pages: Tensor, table: Tensor, length: int) -> Iterator[tuple[slice, Tensor]]:
    size = pages.size(1)
    for start, page in zip(range(0, length, size), table.tolist(), strict=False):
        yield slice(start, start + size), pages[page, : length - start]  # the last one may be full in part
