"""One decode step: ways to share key/value heads, fewer of them, ways to keep the cache, and whole layers."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import Bench, Figures
from benchmarks.stores import attend, blockwise, growing, paged, ring, rolling, static
from benchmarks.ways import WAYS, read
from solutions.gqa_kv_cache import CachedGroupedQueryAttention
from solutions.mla import LatentAttention
from solutions.sliding_window import window_mask
from solutions.static_kv_cache import KVCache, LlamaAttention

H, E = 32, 128
KV_HEADS = (32, 8, 1)
SIZES = ((1024, 1), (1024, 4), (4096, 1), (4096, 4), (16384, 1), (16384, 4))
WINDOW, SINKS = 1024, 4
LATENT, ROPE = 512, 64  # of a token, in DeepSeek-V2 as well
D, LAYER_TOKENS = H * E, 4096


@torch.inference_mode()
def main() -> None:
    bench = Bench.asked(__doc__)
    steps = []
    for tokens, batch in SIZES:
        figures = step(bench, tokens, batch)
        steps.append({"tokens": tokens, "batch": batch, "ms": figures})
        print(tokens, batch, {name: each["median"] for name, each in figures.items()})
    sizes = {"heads": H, "head_dim": E, "window": WINDOW, "sinks": SINKS}
    kept = [stores(bench, tokens) for tokens, batch in SIZES if batch == 1]
    bench.save("decode", {**sizes, "steps": steps, "stores": kept, "layers": layers(bench)})


def step(bench: Bench, tokens: int, batch: int) -> Figures:
    """Milliseconds of each way with each number of key/value heads: "fold, K=8"."""
    query = bench.randn(batch, H, 1, E)
    caches = {k: bench.randn(2, batch, k, tokens, E) for k in KV_HEADS}
    cases = {}
    for name, way in WAYS.items():
        # with as many key/value heads as query heads there is nothing to share
        for k in KV_HEADS if name in ("fold", "floor") else (8,):
            cases[f"{name}, K={k}"] = functools.partial(way, query, *caches[k])
    return bench.interleaved(cases)


def stores(bench: Bench, tokens: int) -> dict[str, Any]:
    """A step of 8 key/value heads that stores its token and attends to so many, by each way to keep them."""
    query = bench.randn(1, H, 1, E)
    keys, values = bench.randn(2, 1, 8, tokens, E)
    fused = functools.partial(F.scaled_dot_product_attention, enable_gqa=True)
    whole = {
        "torch.cat": growing(query, keys, values),
        "static": static(query, keys, values),
        "static, F.sdpa": static(query, keys, values, fused),
        "static, blockwise": static(query, keys, values, blockwise),
        **{f"pages of {page}": paged(query, keys, values, page) for page in (16, 256)},
    }
    windows = {
        "window, rolling": rolling(query, keys, values, WINDOW, SINKS),
        "window, ring": ring(query, keys, values, WINDOW, SINKS),
    }
    seen = window_mask(1, tokens, WINDOW, SINKS).to(bench.device)
    for made, wanted in ((whole, attend(query, keys, values)), (windows, attend(query, keys, values, seen))):
        for store in made.values():
            bench.same(store.step(), wanted)
    cases = {name: store.step for name, store in (whole | windows).items()}
    cases["floor"] = functools.partial(read, keys, values)
    cases["floor of the window"] = functools.partial(read, *windows["window, ring"].held)
    figures = bench.interleaved(cases)
    print(tokens, {name: each["median"] for name, each in figures.items()})
    return {"tokens": tokens, "ms": figures}


def layers(bench: Bench) -> dict[str, Any]:
    """Whole layers of Llama-3-8B's size, projections and all, and one with latents: a step over a full cache."""
    x, tokens, kv_heads = bench.randn(1, 1, D), LAYER_TOKENS, 8
    past = tuple(bench.randn(2, 1, kv_heads, tokens, E))
    slots = KVCache(*bench.randn(2, 1, kv_heads, tokens + 1, E), length=tokens)
    latents = bench.randn(1, tokens, LATENT), bench.randn(1, tokens, ROPE)
    growing_layer = bench.layer(CachedGroupedQueryAttention(D, H, kv_heads, bias=False))
    static_layer = bench.layer(LlamaAttention(D, H, kv_heads))
    latent_layer = bench.layer(LatentAttention(D, H, E, ROPE, LATENT))

    def stored() -> Tensor:
        slots.length = tokens
        return static_layer(x, slots)

    cases: dict[str, Callable[[], Any]] = {
        "solutions/gqa_kv_cache.py": lambda: growing_layer(x, past),
        "solutions/static_kv_cache.py": stored,
        "solutions/mla.py": lambda: latent_layer(x, latents),
        "floor of 8 key/value heads": floor(static_layer, *past),
        "floor of latents": floor(latent_layer, *latents),
    }
    note = ""
    try:
        cases |= llama(bench, x, past)
    except ImportError:
        note = "transformers is not installed: its LlamaAttention was left out."
        print(note)
    return {"tokens": tokens, "latent": LATENT, "rope": ROPE, "ms": bench.interleaved(cases), "note": note}


def floor(layer: nn.Module, *cache: Tensor) -> Callable[[], None]:
    """Each weight and each number of the cache is read once."""
    return functools.partial(read, *layer.parameters(), *cache)


def llama(bench: Bench, x: Tensor, past: tuple[Tensor, ...]) -> dict[str, Callable[[], Any]]:
    from transformers import DynamicCache, LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding

    cases = {}
    for how in ("eager", "sdpa"):
        config = LlamaConfig(hidden_size=D, num_attention_heads=H, num_key_value_heads=8, num_hidden_layers=1)
        config._attn_implementation = how
        layer = bench.layer(LlamaAttention(config, 0))
        positions = torch.tensor([[past[0].size(2)]], device=bench.device)
        rotation = LlamaRotaryEmbedding(config).to(bench.device)(x, positions)

        def run(layer: nn.Module = layer, rotation: Any = rotation) -> None:
            cache = DynamicCache()
            cache.update(*past, 0)  # an empty cache takes them as they are
            layer(x, rotation, None, cache)

        cases[f"transformers' LlamaAttention, {how}"] = run
    return cases


if __name__ == "__main__":
    main()
