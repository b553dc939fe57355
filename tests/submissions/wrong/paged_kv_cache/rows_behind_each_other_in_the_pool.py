"""The table is thought to be 0, 1, 2 ... row after row."""
# cause: table-not-used

import math

import torch


def write(key_pages, value_pages, block_table, lengths, keys, values):
    page_size = key_pages.shape[1]
    B, K, L, E = keys.shape
    capacity = block_table.shape[1] * page_size
    for b in range(B):
        if lengths[b].item() + L > capacity:
            raise ValueError(f"row {b}: {lengths[b].item()} + {L} tokens, room for {capacity}")
    for b in range(B):
        for i in range(L):
            t = lengths[b].item() + i
            page = b * block_table.shape[1] + t // page_size
            slot = t % page_size
            key_pages[page, slot] = keys[b, :, i]
            value_pages[page, slot] = values[b, :, i]


def paged_attention(query, key_pages, value_pages, block_table, lengths):
    B, H, L, E = query.shape
    page_size, K = key_pages.shape[1], key_pages.shape[2]
    dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    out = torch.empty_like(query)
    for b in range(B):
        n = lengths[b].item()
        where = [(block_table[b, t // page_size].item(), t % page_size) for t in range(n)]
        k = torch.stack([key_pages[p, s] for p, s in where], dim=1).to(dtype)  # (K, n, E)
        v = torch.stack([value_pages[p, s] for p, s in where], dim=1).to(dtype)
        for h in range(H):
            g = h // (H // K)
            scores = query[b, h].to(dtype) @ k[g].T / math.sqrt(E)
            for i in range(L):
                scores[i, n - L + i + 1 :] = float("-inf")
            out[b, h] = (scores.softmax(-1) @ v[g]).to(query.dtype)
    return out
