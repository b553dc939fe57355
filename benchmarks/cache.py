"""The KV cache: decoding T tokens with and without one, how it grows, and the bytes of each kind of cache."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn

from benchmarks.measure import Bench, slope
from benchmarks.ways import fold
from grading.candidate.meter import count
from solutions.gqa_kv_cache import CachedGroupedQueryAttention
from solutions.mla import LatentAttention
from solutions.sliding_window import rolling_update
from solutions.static_kv_cache import KVCache

D, H, K = 256, 8, 2
LENGTHS = (32, 64, 128, 256, 512)
PASTS = (1024, 4096, 16384)

# a layer of Llama-3-8B's size and what is held for it, in bfloat16; latents as in DeepSeek-V2
LAYER = {"d_model": 4096, "heads": 32, "kv_heads": 8, "head_dim": 128}
LATENT, ROPE = 512, 64
ROOM, PAGE, WINDOW, SINKS = 131_072, 16, 4096, 4
TOKENS = (1000, 4096, 16_384, 131_072)
REQUESTS = (137, 512, 1000, 2048, 3000, 5000, 8192, 20_000)


@torch.inference_mode()
def main() -> None:
    bench = Bench.asked(__doc__)
    growth = decoding(bench, bench.layer(CachedGroupedQueryAttention(D, H, K)))
    sizes = {"d_model": D, "heads": H, "kv_heads": K}
    bench.save("cache", {**sizes, "decoding": growth, "appending": appending(bench), "bytes": held()})


def with_cache(layer: CachedGroupedQueryAttention, x: Tensor) -> None:
    cache = None
    for token in x.split(1, dim=1):
        _, cache = layer(token, cache)


def without(layer: CachedGroupedQueryAttention, x: Tensor) -> None:
    for length in range(1, x.size(1) + 1):
        layer(x[:, :length])


def decoding(bench: Bench, layer: CachedGroupedQueryAttention) -> dict[str, Any]:
    rows = []
    for length in LENGTHS:
        x = bench.randn(1, length, D)
        cases: dict[str, Callable[[], None]] = {
            "cached": lambda x=x: with_cache(layer, x),
            "uncached": lambda x=x: without(layer, x),
        }
        flops = {name: count(case)[1] for name, case in cases.items()}
        rows.append({"tokens": length, "flops": flops, "ms": bench.interleaved(cases)})
        print(rows[-1])
    lengths = [float(length) for length in LENGTHS]
    exponents = {}
    for name in ("cached", "uncached"):
        exponents[f"{name} flops"] = slope(lengths, [row["flops"][name] for row in rows])
        exponents[f"{name} ms"] = slope(lengths, [row["ms"][name]["median"] for row in rows])
    return {"rows": rows, "exponents": exponents}


def appending(bench: Bench) -> list[dict[str, Any]]:
    """A step of 32 query heads over 8 key/value heads of 128, and the cache made one token longer before it."""
    rows = []
    for past in PASTS:
        keys, values = bench.randn(2, 1, 8, past, 128)
        new, query = bench.randn(1, 8, 1, 128), bench.randn(1, 32, 1, 128)
        buffer = bench.randn(2, 1, 8, past + 1, 128)
        cases = {
            "attend alone": lambda q=query, k=keys, v=values: fold(q, k, v),
            "torch.cat": lambda q=query, k=keys, v=values, n=new: fold(q, torch.cat([k, n], 2), torch.cat([v, n], 2)),
            "preallocated": lambda q=query, b=buffer, n=new: _written(q, b, n),
        }
        rows.append({"past": past, "ms": bench.interleaved(cases)})
        print(rows[-1])
    return rows


def _written(query: Tensor, buffer: Tensor, new: Tensor) -> Tensor:
    buffer[:, :, :, -1:] = new
    return fold(query, buffer[0], buffer[1])


def held() -> dict[str, Any]:
    """Bytes of the tensors of each kind of cache: of one sequence by its length, and of eight requests at a time."""
    kinds: dict[str, Callable[[tuple[int, ...]], int]] = {
        "MHA": lambda lengths: padded(lengths, LAYER["heads"]),
        "GQA": lambda lengths: padded(lengths, LAYER["kv_heads"]),
        "MQA": lambda lengths: padded(lengths, 1),
        "MLA": latents,
        "GQA, window": lambda lengths: sum(window(length) for length in lengths),
        "GQA, static": static,
        "GQA, paged": paged,
    }
    figures = {
        name: {"sequence": [of((tokens,)) for tokens in TOKENS], "requests": of(REQUESTS)} for name, of in kinds.items()
    }
    sizes = {
        "dtype": "bfloat16",
        "latent": LATENT,
        "rope": ROPE,
        "room": ROOM,
        "page": PAGE,
        "window": WINDOW,
        "sinks": SINKS,
    }
    return {**LAYER, **sizes, "tokens": TOKENS, "requests": REQUESTS, "kinds": figures}


def nbytes(*tensors: Tensor) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


def meta(*shape: int) -> Tensor:
    """A tensor with a shape and a dtype, and no numbers."""
    return torch.empty(shape, dtype=torch.bfloat16, device="meta")


def padded(lengths: tuple[int, ...], kv_heads: int) -> int:
    """A batch in one tensor, each row as long as the longest: what solutions/gqa_kv_cache.py returns."""
    with torch.device("meta"):
        layer = CachedGroupedQueryAttention(LAYER["d_model"], LAYER["heads"], kv_heads).bfloat16()
    return nbytes(*after_a_step(layer, lengths))


def latents(lengths: tuple[int, ...]) -> int:
    """The same of solutions/mla.py."""
    with torch.device("meta"):
        layer = LatentAttention(LAYER["d_model"], LAYER["heads"], LAYER["head_dim"], ROPE, LATENT).bfloat16()
    return nbytes(*after_a_step(layer, lengths))


def after_a_step(layer: nn.Module, lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The cache after a prompt and one token: a prompt's may be views of what was projected together."""
    x = meta(len(lengths), max(lengths), LAYER["d_model"])
    _, cache = layer(x[:, :-1])
    return layer(x[:, -1:], cache)[1]


def window(length: int) -> int:
    """What solutions/sliding_window.py holds after a prompt in chunks of a window: real tensors, which it indexes."""
    chunks = torch.zeros(1, LAYER["kv_heads"], length, LAYER["head_dim"], dtype=torch.bfloat16).split(WINDOW, dim=2)
    cache = None
    for chunk in chunks:
        cache = rolling_update(cache, chunk, chunk, WINDOW, SINKS)
    return nbytes(*cache[:3])


def static(lengths: tuple[int, ...]) -> int:
    """Slots for the longest context that is served, whatever comes: solutions/static_kv_cache.py."""
    shape = (len(lengths), LAYER["kv_heads"], ROOM, LAYER["head_dim"])
    cache = KVCache(meta(*shape), meta(*shape), length=0)
    return nbytes(cache.keys, cache.values)


def paged(lengths: tuple[int, ...]) -> int:
    """Whole pages for what each row has, and a table that has room for the longest context: paged_kv_cache.py."""
    pages = sum(math.ceil(length / PAGE) for length in lengths)
    pool = meta(2, pages, PAGE, LAYER["kv_heads"], LAYER["head_dim"])
    table = torch.empty(len(lengths), ROOM // PAGE, dtype=torch.int64, device="meta")
    return nbytes(pool, table)


if __name__ == "__main__":
    main()
