"""All the new tokens of a row are put into one slice of its page."""
# cause: page-end-raises

import math

import torch


def write(key_pages, value_pages, block_table, lengths, keys, values):
    _, size, _, _ = key_pages.shape
    new = keys.shape[2]
    for start in lengths.tolist():
        if start + new > size * block_table.shape[1]:
            raise ValueError(f"{start} + {new} tokens do not fit")
    for row, start in enumerate(lengths.tolist()):
        done = 0
        while done < new:  # as much as fits into the current page
            entry, slot = divmod(start + done, size)
            n = new
            page = int(block_table[row, entry])
            key_pages[page, slot : slot + n] = keys[row, :, done : done + n].transpose(0, 1)
            value_pages[page, slot : slot + n] = values[row, :, done : done + n].transpose(0, 1)
            done += n


def paged_attention(query, key_pages, value_pages, block_table, lengths):
    B, H, L, E = query.shape
    size, K = key_pages.shape[1:3]
    kind = torch.promote_types(query.dtype, torch.float32)
    result = torch.zeros(B, H, L, E, dtype=kind)
    for row in range(B):
        length = int(lengths[row])
        q = query[row].to(kind).reshape(K, H // K, L, E) / math.sqrt(E)
        m = torch.full((K, H // K, L, 1), -math.inf, dtype=kind)
        total = torch.zeros_like(m)
        acc = torch.zeros_like(q)
        own = torch.arange(length - L, length).unsqueeze(1)
        for start in range(0, length, size):
            stop = min(start + size, length)
            page = int(block_table[row, start // size])
            k = key_pages[page, : stop - start].to(kind).permute(1, 0, 2).unsqueeze(1)
            v = value_pages[page, : stop - start].to(kind).permute(1, 0, 2).unsqueeze(1)
            s = q @ k.transpose(-2, -1)
            s = s.masked_fill(torch.arange(start, stop) > own, -math.inf)
            new_m = torch.maximum(m, s.amax(-1, keepdim=True))
            shrink = (m - new_m).exp()
            p = (s - new_m).exp()
            total = total * shrink + p.sum(-1, keepdim=True)
            acc = acc * shrink + p @ v
            m = new_m
        result[row] = (acc / total).view(H, L, E)
    return result.to(query.dtype)
