"""The values are forgotten."""
# cause: new-values-not-written

import torch
from torch import Tensor


def write(key_pages, value_pages, block_table, lengths, keys, values):
    page, n_new = key_pages.size(1), keys.size(2)
    if (lengths + n_new > block_table.size(1) * page).any():
        raise ValueError("a row has too few pages")
    for i in range(n_new):
        position = lengths + i
        rows = torch.arange(len(lengths))
        at = block_table[rows, position // page], position % page
        key_pages[at] = keys[:, :, i]


def paged_attention(
    query: Tensor, key_pages: Tensor, value_pages: Tensor, block_table: Tensor, lengths: Tensor
) -> Tensor:
    B, H, L, E = query.shape
    P, page, K, _ = key_pages.shape
    work = torch.double if query.dtype == torch.double else torch.float
    pages = block_table.clamp(0, P - 1)
    S = block_table.size(1) * page
    k = key_pages[pages].reshape(B, S, K, E).to(work)
    v = value_pages[pages].reshape(B, S, K, E).to(work)
    slot = torch.arange(S)
    real = slot < lengths[:, None]  # (B, S)
    v = v.masked_fill(~real[:, :, None, None], 0.0)
    own = lengths[:, None] - L + torch.arange(L)  # (B, L)
    seen = slot[None, None] <= own[:, :, None]  # (B, L, S)
    q = query.to(work).view(B, K, H // K, L, E)
    scores = torch.einsum("bkgle,bske->bkgls", q, k) * E**-0.5
    scores = torch.where(seen[:, None, None], scores, torch.tensor(float("-inf"), dtype=work))
    out = torch.einsum("bkgls,bske->bkgle", scores.softmax(dim=-1), v)
    return out.reshape(B, H, L, E).to(query.dtype)
