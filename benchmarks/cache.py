"""Decoding T tokens with and without a KV cache: FLOPs, time, how both grow; and two ways to make the cache grow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from benchmarks.measure import device, interleaved, options, save, slope
from benchmarks.ways import fold
from grading.candidate.meter import count
from solutions.gqa_kv_cache import CachedGroupedQueryAttention

D, H, K = 256, 8, 2
LENGTHS = (32, 64, 128, 256, 512)
PASTS = (1024, 4096, 16384)


@torch.inference_mode()
def main() -> None:
    arguments = options(__doc__).parse_args()
    layer = CachedGroupedQueryAttention(D, H, K).to(device())
    growth = decoding(layer, arguments.rounds, arguments.seconds)
    save(
        "cache", {"d_model": D, "heads": H, "kv_heads": K, "decoding": growth, "appending": appending(arguments.rounds)}
    )


def with_cache(layer: CachedGroupedQueryAttention, x: Tensor) -> None:
    cache = None
    for token in x.split(1, dim=1):
        _, cache = layer(token, cache)


def without(layer: CachedGroupedQueryAttention, x: Tensor) -> None:
    for length in range(1, x.size(1) + 1):
        layer(x[:, :length])


def decoding(layer: CachedGroupedQueryAttention, rounds: int, seconds: float) -> dict[str, Any]:
    rows = []
    for length in LENGTHS:
        x = torch.randn(1, length, D, device=device())
        cases: dict[str, Callable[[], None]] = {
            "cached": lambda x=x: with_cache(layer, x),
            "uncached": lambda x=x: without(layer, x),
        }
        flops = {name: count(case)[1] for name, case in cases.items()}
        rows.append({"tokens": length, "flops": flops, "ms": interleaved(cases, rounds, seconds)})
        print(rows[-1])
    lengths = [float(length) for length in LENGTHS]
    exponents = {}
    for name in ("cached", "uncached"):
        exponents[f"{name} flops"] = slope(lengths, [row["flops"][name] for row in rows])
        exponents[f"{name} ms"] = slope(lengths, [row["ms"][name]["median"] for row in rows])
    return {"rows": rows, "exponents": exponents}


def appending(rounds: int) -> list[dict[str, Any]]:
    """A step of 32 query heads over 8 key/value heads of 128, and the cache made one token longer before it."""
    rows = []
    for past in PASTS:
        keys, values = torch.randn(2, 1, 8, past, 128, device=device())
        new, query = torch.randn(1, 8, 1, 128, device=device()), torch.randn(1, 32, 1, 128, device=device())
        buffer = torch.randn(2, 1, 8, past + 1, 128, device=device())
        cases = {
            "attend alone": lambda q=query, k=keys, v=values: fold(q, k, v),
            "torch.cat": lambda q=query, k=keys, v=values, n=new: fold(q, torch.cat([k, n], 2), torch.cat([v, n], 2)),
            "preallocated": lambda q=query, b=buffer, n=new: _written(q, b, n),
        }
        rows.append({"past": past, "ms": interleaved(cases, rounds)})
        print(rows[-1])
    return rows


def _written(query: Tensor, buffer: Tensor, new: Tensor) -> Tensor:
    buffer[:, :, :, -1:] = new
    return fold(query, buffer[0], buffer[1])


if __name__ == "__main__":
    main()
