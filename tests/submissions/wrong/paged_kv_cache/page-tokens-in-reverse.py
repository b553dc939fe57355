"""The pages of a row are put together from its end."""
# cause: page-tokens-in-reverse

import torch
from torch import Tensor


def pages_of(block_table: Tensor, lengths: Tensor, row: int, size: int):
    """(page, slots of it that are written) for each page of a row."""
    left = int(lengths[row])
    for page in block_table[row].tolist():
        if left <= 0:
            return
        yield page, min(left, size)
        left -= size


def write(key_pages, value_pages, block_table, lengths, keys, values):
    P, size, K, E = key_pages.shape
    B, _, L, _ = keys.shape
    room = block_table.shape[1] * size - lengths
    if bool((room < L).any()):
        raise ValueError(f"room for {room.tolist()} tokens more, and {L} come")
    new_k, new_v = keys.transpose(1, 2), values.transpose(1, 2)
    for row in range(B):
        where = torch.arange(int(lengths[row]), int(lengths[row]) + L)
        for entry in (where // size).unique().tolist():
            mine = where // size == entry
            page = int(block_table[row, entry])
            key_pages[page, where[mine] % size] = new_k[row][mine]
            value_pages[page, where[mine] % size] = new_v[row][mine]


def paged_attention(query, key_pages, value_pages, block_table, lengths):
    B, H, L, E = query.shape
    size, K = key_pages.shape[1], key_pages.shape[2]
    wide = torch.promote_types(query.dtype, torch.float32)
    done = []
    for row in range(B):
        q = query[row].to(wide).view(K, H // K, L, E)
        scores = [
            torch.einsum("kgle,ske->kgls", q, key_pages[page, :n].to(wide))
            for page, n in reversed([*pages_of(block_table, lengths, row, size)])
        ]
        scores = torch.cat(scores, dim=-1) / E**0.5
        S = scores.shape[-1]
        late = torch.ones(L, S, dtype=torch.bool).triu(S - L + 1)
        weights = (
            scores.masked_fill(late, -torch.inf)
            .softmax(-1)
            .split([n for _, n in reversed([*pages_of(block_table, lengths, row, size)])], dim=-1)
        )
        mixed = sum(
            torch.einsum("kgls,ske->kgle", part, value_pages[page, :n].to(wide))
            for part, (page, n) in zip(weights, reversed([*pages_of(block_table, lengths, row, size)]))
        )
        done.append(mixed.reshape(H, L, E))
    return torch.stack(done).to(query.dtype)
