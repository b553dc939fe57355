"""One decode step over a cache: ways to share key/value heads, and MHA beside GQA and MQA."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.measure import Figures, device, interleaved, options, save
from benchmarks.ways import WAYS
from solutions.gqa_kv_cache import CachedGroupedQueryAttention

H, E = 32, 128
KV_HEADS = (32, 8, 1)
SIZES = ((1024, 1), (1024, 4), (4096, 1), (4096, 4), (16384, 1), (16384, 4))


@torch.inference_mode()
def main() -> None:
    arguments = options(__doc__).parse_args()
    steps = []
    for tokens, batch in SIZES:
        figures = step(tokens, batch, arguments.rounds, arguments.seconds)
        steps.append({"tokens": tokens, "batch": batch, "ms": figures})
        print(tokens, batch, {name: each["median"] for name, each in figures.items()})
    save("decode", {"heads": H, "head_dim": E, "steps": steps, "modules": modules(arguments.rounds)})


def step(tokens: int, batch: int, rounds: int, seconds: float) -> Figures:
    """Milliseconds of each way with each number of key/value heads: "fold, K=8"."""
    query = torch.randn(batch, H, 1, E, device=device())
    caches = {k: torch.randn(2, batch, k, tokens, E, device=device()) for k in KV_HEADS}
    cases = {}
    for name, way in WAYS.items():
        # with as many key/value heads as query heads there is nothing to share
        for k in KV_HEADS if name in ("fold", "floor") else (8,):
            cases[f"{name}, K={k}"] = functools.partial(way, query, *caches[k])
    return interleaved(cases, rounds, seconds)


def modules(rounds: int) -> dict[str, Any]:
    """Our whole layer, projections and growing cache too, beside transformers' of Llama-3-8B's size."""
    tokens, d_model, kv_heads = 4096, H * E, 8
    x = torch.randn(1, 1, d_model, device=device())
    cache = (torch.randn(1, kv_heads, tokens, E, device=device()), torch.randn(1, kv_heads, tokens, E, device=device()))
    ours = CachedGroupedQueryAttention(d_model, H, kv_heads, bias=False).to(device())
    cases: dict[str, Any] = {"solutions/gqa_kv_cache.py": lambda: ours(x, cache)}
    note = ""
    try:
        cases |= llama(x, cache)
    except ImportError:
        note = "transformers is not installed: LlamaAttention was left out"
        print(note)
    return {"tokens": tokens, "ms": interleaved(cases, rounds), "note": note}


def llama(x: torch.Tensor, cache: tuple[torch.Tensor, torch.Tensor]) -> dict[str, Any]:
    from transformers import DynamicCache, LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding

    cases = {}
    for how in ("eager", "sdpa"):
        config = LlamaConfig(hidden_size=H * E, num_attention_heads=H, num_key_value_heads=8, num_hidden_layers=1)
        config._attn_implementation = how
        layer = LlamaAttention(config, 0).to(device()).eval()
        position = LlamaRotaryEmbedding(config).to(device())(x, torch.tensor([[cache[0].size(2)]], device=device()))

        def run(layer: Any = layer, position: Any = position) -> None:
            past = DynamicCache()
            past.update(*cache, 0)  # an empty cache takes them as they are
            layer(x, position_embeddings=position, attention_mask=None, past_key_values=past)

        cases[f"transformers' LlamaAttention, {how}"] = run
    return cases


if __name__ == "__main__":
    main()
