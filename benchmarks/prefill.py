"""Prefill, L = S: whole score matrices, blocks with an online softmax, the fused kernel, and ways to keep the cache."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import Bench, slope
from benchmarks.stores import attend, paged, rolling, static
from benchmarks.ways import fold, fold_query_first
from grading.candidate.meter import peak_bytes
from solutions.flash import blockwise_attention
from solutions.sliding_window import window_mask

H, K, E, BLOCK = 8, 2, 64, 256
WINDOW, SINKS = 512, 4
LENGTHS = (256, 512, 1024, 2048, 4096)


def naive(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention with a causal mask, all scores at once."""
    mask = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool, device=query.device).tril()
    scores = (query / math.sqrt(E)) @ key.transpose(-2, -1)
    return scores.masked_fill(~mask, -math.inf).softmax(dim=-1) @ value


def blocked(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """solutions/flash.py, a block of queries at a time, and keys that none of them may see left out."""
    outputs = []
    for start in range(0, query.size(-2), BLOCK):
        rows, end = query[..., start : start + BLOCK, :], start + BLOCK
        mask = torch.ones(rows.size(-2), end, dtype=torch.bool, device=query.device).tril(diagonal=start)
        outputs.append(blockwise_attention(rows, key[..., :end, :], value[..., :end, :], mask, BLOCK)[0])
    return torch.cat(outputs, dim=-2)


def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def floor(bench: Bench, length: int, window: int | None = None) -> Callable[[], Tensor]:
    """No attention at all: a square product of as many FLOPs as scores and weighted sums of what is seen take."""
    pairs = length * (length + 1) // 2 if window is None else int(window_mask(length, length, window, SINKS).sum())
    side = round((2 * H * E * pairs) ** (1 / 3))
    left, right = bench.randn(2, side, side)
    return lambda: left @ right


@torch.inference_mode()
def main() -> None:
    bench = Bench.asked(__doc__)
    rows = [self_attention(bench, length) for length in LENGTHS]
    lengths = [float(length) for length in LENGTHS]
    exponents = {
        name: slope(lengths, [float(row["peak_bytes"][name]) for row in rows]) for name in rows[0]["peak_bytes"]
    }
    sizes = {"heads": H, "kv_heads": K, "head_dim": E, "block": BLOCK, "window": WINDOW, "sinks": SINKS}
    kept = [stores(bench, length) for length in LENGTHS]
    bench.save("prefill", {**sizes, "rows": rows, "memory_exponents": exponents, "stores": kept, "folds": folds(bench)})


def self_attention(bench: Bench, length: int) -> dict[str, Any]:
    inputs = [bench.randn(1, H, length, E) for _ in range(3)]
    cases: dict[str, Callable[[], Any]] = {
        way.__name__: functools.partial(way, *inputs) for way in (naive, blocked, fused)
    }
    for case in cases.values():
        bench.same(case(), naive(*inputs))
    peaks = {name: peak_bytes(case, inputs) for name, case in cases.items()}
    row = {"tokens": length, "peak_bytes": peaks, "ms": bench.interleaved({**cases, "floor": floor(bench, length)})}
    print(row)
    return row


def stores(bench: Bench, length: int) -> dict[str, Any]:
    """A prompt that is stored and attends to itself, by each way to keep it: time, and most memory beyond the cache."""
    query = bench.randn(1, H, length, E)
    keys, values = bench.randn(2, 1, K, length, E)
    window = window_mask(length, length, WINDOW, SINKS).to(bench.device)
    whole, within = attend(query, keys, values), attend(query, keys, values, window)
    made = {
        "static, all at once": (static(query, keys, values), whole),
        "static, in chunks": (static(query, keys, values, chunk=BLOCK), whole),
        "pages of 16": (paged(query, keys, values, 16), whole),
        "pages of 256": (paged(query, keys, values, 256), whole),
        "window, rolling": (rolling(query, keys, values, WINDOW, SINKS), within),
    }
    peaks = {}
    for name, (store, wanted) in made.items():
        bench.same(store.step(), wanted)
        peaks[name] = peak_bytes(store.step, [query, keys, values, *store.held])
    floors = {"floor": floor(bench, length), "floor of the window": floor(bench, length, WINDOW)}
    row = {
        "tokens": length,
        "peak_bytes": peaks,
        "ms": bench.interleaved({**{name: store.step for name, (store, _) in made.items()}, **floors}),
    }
    print(row)
    return row


def folds(bench: Bench) -> list[dict[str, Any]]:
    """32 query heads of 128 over 8 key/value heads, by the lines of two solutions; no mask."""
    rows = []
    for length in (64, 512, 2048):
        query = bench.randn(1, 32, length, 128)
        key, value = bench.randn(2, 1, 8, length, 128)
        cases = {
            "solutions/gqa.py": functools.partial(fold_query_first, query, key, value),
            "solutions/gqa_kv_cache.py": functools.partial(fold, query, key, value),
            "fused": functools.partial(F.scaled_dot_product_attention, query, key, value, enable_gqa=True),
        }
        rows.append({"tokens": length, "ms": bench.interleaved(cases)})
        print(rows[-1])
    return rows


if __name__ == "__main__":
    main()
