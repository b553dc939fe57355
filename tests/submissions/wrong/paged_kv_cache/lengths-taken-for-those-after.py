"""write thinks that the caller has counted the new tokens already."""
# cause: lengths-taken-for-those-after

from math import ceil, sqrt

import torch


def place(table_row, position, page_size):
    return table_row[position // page_size], position % page_size


def write(key_pages, value_pages, block_table, lengths, keys, values):
    page_size = key_pages.shape[1]
    count = keys.shape[2]
    most = max(lengths.tolist()) + count
    if ceil(most / page_size) > block_table.shape[1]:
        raise ValueError("out of pages")
    for pool, new in ((key_pages, keys), (value_pages, values)):
        for table_row, length, tokens in zip(block_table.tolist(), lengths.tolist(), new):
            for i, token in enumerate(tokens.unbind(dim=1)):
                page, slot = place(table_row, length - count + i, page_size)
                pool[page, slot].copy_(token)


def step(q, key_pages, value_pages, table_row, length):
    """One query (H, E) over the first `length` tokens of a row."""
    page_size, n_kv = key_pages.shape[1], key_pages.shape[2]
    used = table_row[: ceil(length / page_size)]
    k = torch.cat([key_pages[page] for page in used])[:length].to(q.dtype)  # (S, K, E)
    v = torch.cat([value_pages[page] for page in used])[:length].to(q.dtype)
    heads = []
    for h in range(q.shape[0]):
        group = h * n_kv // q.shape[0]
        weights = torch.softmax(k[:, group] @ q[h] / sqrt(q.shape[1]), dim=0)
        heads.append(weights @ v[:, group])
    return torch.stack(heads)


def paged_attention(query, key_pages, value_pages, block_table, lengths):
    B, _, L, _ = query.shape
    q = query if query.dtype == torch.float64 else query.float()
    out = torch.zeros_like(q)
    for b, (table_row, length) in enumerate(zip(block_table.tolist(), lengths.tolist())):
        for i in range(L):
            out[b, :, i] = step(q[b, :, i], key_pages, value_pages, table_row, length - L + i + 1)
    return out.to(query.dtype)
