"""The loop is over the entries of the table: one page of every row at a time, without weight where a row has none."""

import torch


def write(key_pages, value_pages, block_table, lengths, keys, values):
    page = key_pages.size(1)
    B, K, L, E = keys.shape
    t = lengths.repeat_interleave(L) + torch.arange(L).repeat(B)
    if t.max() >= block_table.size(1) * page:
        raise ValueError("block_table is too short")
    b = torch.arange(B).repeat_interleave(L)
    p = block_table[b, t.div(page, rounding_mode="floor")]
    key_pages[p, t.remainder(page)] = keys.movedim(1, 2).flatten(0, 1)
    value_pages[p, t.remainder(page)] = values.movedim(1, 2).flatten(0, 1)


def paged_attention(query, key_pages, value_pages, block_table, lengths):
    B, H, L, E = query.shape
    P, page, K, _ = key_pages.shape
    dt = torch.promote_types(query.dtype, torch.float32)
    q = query.to(dt).reshape(B, K, H // K, L, E) * E**-0.5
    last = lengths[:, None] - L + torch.arange(L)  # the last token that a query sees
    top = torch.full((B, K, H // K, L), -1e300 if dt == torch.float64 else -1e38, dtype=dt)
    den = torch.zeros_like(top)
    num = torch.zeros_like(q)
    for n in range(-(-int(lengths.max()) // page)):
        ids = torch.where(n * page < lengths, block_table[:, n], 0)
        token = n * page + torch.arange(page)
        free = (token >= lengths[:, None])[:, :, None, None]  # (B, page, 1, 1)
        k = key_pages[ids].to(dt).masked_fill(free, 0.0)
        v = value_pages[ids].to(dt).masked_fill(free, 0.0)
        s = torch.einsum("bkgle,bpke->bkglp", q, k)
        hidden = token > last[:, :, None]  # (B, L, page)
        s = s.masked_fill(hidden[:, None, None], float("-inf"))
        now = torch.maximum(top, s.max(dim=-1).values)
        shrink, e = (top - now).exp(), (s - now[..., None]).exp()
        den = den * shrink + e.sum(-1)
        num = num * shrink[..., None] + torch.einsum("bkglp,bpke->bkgle", e, v)
        top = now
    return (num / den[..., None]).reshape(B, H, L, E).to(query.dtype)
