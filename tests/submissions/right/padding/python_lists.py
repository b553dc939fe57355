"""Plain Python lists, made into a tensor at the end."""

from itertools import accumulate

import torch


def position_ids(attention_mask):
    rows = []
    for row in attention_mask.bool().tolist():
        counts = accumulate(row)
        rows.append([n - 1 if real else 0 for n, real in zip(counts, row)])
    return torch.tensor(rows, dtype=torch.int64)


def padding_causal_mask(attention_mask, query_len=None):
    rows = attention_mask.bool().tolist()
    S = len(rows[0])
    L = S if query_len is None else query_len
    squares = [[[row[: i + 1] + [False] * (S - i - 1) for i in range(S - L, S)]] for row in rows]
    return torch.tensor(squares, dtype=torch.bool)
