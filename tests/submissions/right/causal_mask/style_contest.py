"""In the style of a programming contest: everything imported, a Solution class, cases as JSON, a checker below."""

import bisect, collections, functools, heapq, io, itertools, json, math, re
from typing import *

import torch

CASES = json.loads('[{"args": [2, 4], "rows": [3, 4]}, {"args": [3, null], "rows": [1, 2, 3]}]')


class Solution:
    @functools.lru_cache(maxsize=None)
    def positions(self, n: int) -> Tuple[int, ...]:
        return tuple(itertools.islice(itertools.count(), n))

    def visible(self, i: int, n: int) -> int:
        # how many positions are not after i
        return bisect.bisect_right(self.positions(n), i)

    def mask(self, L: int, S: int) -> List[List[bool]]:
        return [[j < self.visible(S - L + i, S) for j in range(S)] for i in range(L)]


def causal_mask(query_len, key_len=None):
    S = key_len if key_len is not None else query_len
    return torch.tensor(Solution().mask(query_len, S), dtype=torch.bool)


def additive_mask(mask, dtype=torch.float32):
    return torch.where(mask, torch.tensor(0.0, dtype=dtype), torch.tensor(-math.inf, dtype=dtype))


def check():
    for case in CASES:
        rows = causal_mask(*case["args"]).sum(1).tolist()
        assert rows == case["rows"], (rows, case)
        assert heapq.nsmallest(1, rows) == case["rows"][:1]
    out = io.StringIO()
    print(additive_mask(causal_mask(2)), file=out)
    assert re.search(r"-inf", out.getvalue())
    assert collections.Counter(causal_mask(3).flatten().tolist())[True] == 6


check()
