"""Prefill, L = S: memory and time of whole score matrices, blocks with an online softmax, and the fused kernel."""

from __future__ import annotations

import functools
import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import device, interleaved, options, save, slope
from benchmarks.ways import fold, fold_query_first
from grading.candidate.meter import peak_bytes

H, E, BLOCK = 8, 64, 256
LENGTHS = (256, 512, 1024, 2048, 4096)


def naive(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention with a causal mask, all scores at once."""
    mask = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool, device=query.device).tril()
    scores = (query / math.sqrt(E)) @ key.transpose(-2, -1)
    return scores.masked_fill(~mask, -math.inf).softmax(dim=-1) @ value


def blocked(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same, a block of queries and a block of keys at a time, keys that nobody may see left out."""
    outputs = []
    for start in range(0, query.size(-2), BLOCK):
        rows = query[..., start : start + BLOCK, :] / math.sqrt(E)
        top = rows.new_full((*rows.shape[:-1], 1), -math.inf)
        norm, total = torch.zeros_like(top), torch.zeros_like(rows)
        for at in range(0, start + BLOCK, BLOCK):
            scores = rows @ key[..., at : at + BLOCK, :].transpose(-2, -1)
            if at == start:
                scores = scores.masked_fill(~torch.ones_like(scores, dtype=torch.bool).tril(), -math.inf)
            highest = torch.maximum(top, scores.amax(-1, keepdim=True))
            weights, fade = (scores - highest).exp(), (top - highest).exp()
            norm = norm * fade + weights.sum(-1, keepdim=True)
            total, top = total * fade + weights @ value[..., at : at + BLOCK, :], highest
        outputs.append(total / norm)
    return torch.cat(outputs, dim=-2)


def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


@torch.inference_mode()
def main() -> None:
    arguments = options(__doc__).parse_args()
    ways = {"naive": naive, "blocked": blocked, "fused": fused}
    rows = []
    for length in LENGTHS:
        inputs = [torch.randn(1, H, length, E, device=device()) for _ in range(3)]
        assert (naive(*inputs) - fused(*inputs)).abs().max() < 1e-4 > (blocked(*inputs) - naive(*inputs)).abs().max()
        cases = {name: functools.partial(way, *inputs) for name, way in ways.items()}
        peaks = {name: peak_bytes(case, inputs) for name, case in cases.items()}
        rows.append(
            {"tokens": length, "peak_bytes": peaks, "ms": interleaved(cases, arguments.rounds, arguments.seconds)}
        )
        print(rows[-1])
    lengths = [float(length) for length in LENGTHS]
    exponents = {name: slope(lengths, [float(row["peak_bytes"][name]) for row in rows]) for name in ways}
    orders = folds(arguments.rounds, arguments.seconds)
    figures = {"heads": H, "head_dim": E, "block": BLOCK, "rows": rows, "memory_exponents": exponents}
    save("prefill", {**figures, "folds": orders})


def folds(rounds: int, seconds: float) -> list[dict[str, Any]]:
    """32 query heads of 128 over 8 key/value heads, by the lines of two solutions; no mask."""
    rows = []
    for length in (64, 512, 2048):
        query = torch.randn(1, 32, length, 128, device=device())
        key, value = torch.randn(2, 1, 8, length, 128, device=device())
        cases = {
            "solutions/gqa.py": functools.partial(fold_query_first, query, key, value),
            "solutions/gqa_kv_cache.py": functools.partial(fold, query, key, value),
            "fused": functools.partial(F.scaled_dot_product_attention, query, key, value, enable_gqa=True),
        }
        rows.append({"tokens": length, "ms": interleaved(cases, rounds, seconds)})
        print(rows[-1])
    return rows


if __name__ == "__main__":
    main()
