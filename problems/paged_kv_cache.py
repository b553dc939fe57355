"""Paged KV cache, about 25 minutes.

Grade it with: python grader.py check paged_kv_cache

A KV cache in pages: the tokens of a row lie in pages of a common pool, and a table says in which.

    B rows    L new tokens    H num_heads    K num_kv_heads    E head_dim
    P pages of the pool    N entries of a row of the table

    key_pages, value_pages (P, page, K, E)    the pool: P pages of `page` slots, a slot for each token
    block_table (B, N)                        which page of the pool is the n-th of a row
    lengths (B,)                              how many tokens of a row are written

- Token t of row b lies in slot t % page of page block_table[b, t // page]; keys and values lie at the same place.
- Pages come in any order, and rows may share pages: a common beginning is written once. A page that is written to
  belongs to one row: the caller makes sure of that.
- Only the first lengths[b] tokens of row b are there. All other slots may hold anything, NaN too. Entries of the table
  that a row does not need yet may be any number, -1 too: they are never used.
- block_table and lengths are int64, all other tensors have one dtype (float16, bfloat16, float32 or float64).
- Calls are made without gradients, and none are asked for.

Example: page = 2, K = H = E = 1, P = 4, one row with block_table = [[3, 0]] and lengths = [1]; slot 0 of page 3 has the
key 0 and the value 8. write with the keys [0, 0] and the values [2, 11] puts the first new token into slot 1 of page 3
and the second into slot 0 of page 0. The caller counts: lengths is [3] now. paged_attention with two queries of 1 then
gives (8 + 2) / 2 = 5 for the first, which is token 1, and (8 + 2 + 11) / 3 = 7 for the second.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor


def write(
    key_pages: Tensor, value_pages: Tensor, block_table: Tensor, lengths: Tensor, keys: Tensor, values: Tensor
) -> None:
    """Put L new tokens of each row behind those that are there, into the pool that is handed in: in place.

    A row's new tokens may begin in the middle of a page, and go over several. All other slots stay as they are, and so
    do block_table and lengths, which are the caller's. What is returned does not matter.

    Args:
        key_pages, value_pages: (P, page, K, E)
        block_table: (B, N)
        lengths: (B,), how many tokens are written *before* the call; 0 or more, another number in each row.
        keys, values: (B, K, L, E), of the new tokens, L at least 1; note the order of axes, which is not the pool's.

    Raises:
        ValueError: lengths[b] + L is more than N * page for a row, which is seen before anything is written.

    Source: "Efficient Memory Management for Large Language Model Serving with PagedAttention" (arXiv 2309.06180),
    section 4.
    """
    # TODO:
    #   1. ValueError where the new tokens of a row do not fit into its pages, before anything is written
    #   2. where each new token goes: the page that the table names, and the slot in it
    #   3. write keys and values there, in place
    raise NotImplementedError("write")


def paged_attention(
    query: Tensor, key_pages: Tensor, value_pages: Tensor, block_table: Tensor, lengths: Tensor
) -> Tensor:
    """Causal attention of the last L tokens of each row over all its tokens, where they lie.

    Query head h reads key/value head h // (H // K). The scores are the dot products of queries and keys, times
    1/sqrt(E); scores up to 1e5 must not overflow. Query i of row b is token lengths[b] - L + i, and sees tokens
    0 ... lengths[b] - L + i of its row.

    All work is done in float32 at least, in float64 for float64. The pool, and all else that is handed in, stays as it
    is. The star, which fails nobody, is for reading pages where they lie, without a copy of a row's keys or values.

    Args:
        query: (B, H, L, E); K divides H.
        key_pages, value_pages: (P, page, K, E)
        block_table: (B, N)
        lengths: (B,), how many tokens are written, those of the queries *included*; L or more.

    Returns:
        (B, H, L, E), in the dtype of the query.

    Source: as for write, section 4.1.
    """
    # TODO:
    #   1. row by row: its pages, in the order of the table, up to its length
    #   2. scores of the queries with the keys where they lie, and the weights: a query sees the tokens up to its own
    #   3. the weighted sum of the values where they lie
    raise NotImplementedError("paged_attention")
