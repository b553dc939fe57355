"""A page lies where the last entry of its row names it, be it one that the row does not need."""
# cause: none

import math
from collections.abc import Iterator

import torch
from torch import Tensor


def write(
    key_pages: Tensor, value_pages: Tensor, block_table: Tensor, lengths: Tensor, keys: Tensor, values: Tensor
) -> None:
    page, L = key_pages.size(1), keys.size(2)
    positions = lengths[:, None] + torch.arange(L, device=lengths.device)  # (B, L)
    if positions.max() >= block_table.size(1) * page:
        raise ValueError(f"{L} tokens more do not fit into {block_table.size(1)} pages of {page}")
    pages, slots = block_table.gather(1, positions // page), positions % page  # (B, L) twice
    key_pages[pages, slots] = keys.transpose(1, 2)  # (B, L, K, E)
    value_pages[pages, slots] = values.transpose(1, 2)


def paged_attention(
    query: Tensor, key_pages: Tensor, value_pages: Tensor, block_table: Tensor, lengths: Tensor
) -> Tensor:
    (B, H, L, E), K = query.shape, key_pages.size(2)
    dtype = torch.promote_types(query.dtype, torch.float32)
    rows = (query.to(dtype) / math.sqrt(E)).reshape(B, K, H // K * L, E)  # (B, K, H/K * L, E)
    output = torch.zeros_like(rows)  # (B, K, H/K * L, E)
    for row, (table, length) in enumerate(zip(block_table, lengths.tolist(), strict=True)):
        scores = rows.new_full((K, H // K * L, length), -math.inf)  # (K, H/K * L, S)
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
    entries = {page: entry for entry, page in enumerate(table.tolist())}
    for page, entry in entries.items():
        start = entry * size
        if start >= length:
            continue
        yield slice(start, start + size), pages[page, : length - start]  # the last one may be full in part
