"""The solutions and transformers agree: by a table of its numbers always, and by itself where it is installed."""

import json

import pytest
import torch

from solutions.gqa import GroupedQueryAttention
from solutions.mla import LatentAttention
from solutions.padding import padding_causal_mask, position_ids
from solutions.rope import apply_rope
from solutions.sampling import next_token_probs
from solutions.sliding_window import window_mask
from solutions.static_kv_cache import KVCache, LlamaAttention
from tests.references import given
from tests.references.make import TABLE, answers

ROWS = json.loads(TABLE.read_text(encoding="utf-8"))
VERSION = ROWS.pop("transformers")


def rope():
    for name, case in given.ROPE.items():
        yield f"rope: {name}", apply_rope(given.ROPE_INPUT, **case | {"positions": torch.tensor(case["positions"])})


def sampling():
    for name, case in given.SAMPLING.items():
        yield f"sampling: {name}", next_token_probs(torch.tensor(given.LOGITS), **case)


def static_kv_cache():
    layer = LlamaAttention(given.D_MODEL, given.HEADS, given.KV_HEADS, given.ROPE_BASE)
    layer.load_state_dict(given.weights(bias=False))
    keys, values = torch.zeros(2, len(given.TOKENS), given.KV_HEADS, given.SLOTS, given.D_MODEL // given.HEADS)
    cache = KVCache(keys, values, length=0)
    outputs = [layer(x, cache) for x in given.TOKENS.split(given.CHUNKS, dim=1)]
    yield "static_kv_cache: outputs", torch.cat(outputs, dim=1)
    yield "static_kv_cache: keys", cache.keys
    yield "static_kv_cache: values", cache.values


def gqa():
    layer = GroupedQueryAttention(given.D_MODEL, given.HEADS, given.KV_HEADS).eval()
    layer.load_state_dict(given.weights(bias=True))
    for name, mask in given.GQA.items():
        yield f"gqa: {name}", layer(given.QUERY, given.KEY, given.VALUE, mask)


def padding():
    mask = torch.tensor(given.ATTENTION_MASK)
    for step in range(1, given.NEW_TOKENS + 1):
        new = mask.size(1) if step == 1 else 1
        yield f"padding: positions at step {step}", position_ids(mask)[:, -new:]
        yield f"padding: mask at step {step}", padding_causal_mask(mask, new).int()
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)


def sliding_window():
    for name, sizes in given.WINDOWS.items():
        yield f"sliding_window: {name}", window_mask(*sizes).int()


def mla():
    layer = LatentAttention(given.D_MODEL, given.HEADS, given.HEAD_DIM, given.ROPE_DIM, given.LATENT_DIM)
    layer.load_state_dict(given.latent_weights())
    cache, outputs = None, []
    for x in given.TOKENS.split(given.CHUNKS, dim=1):
        output, cache = layer(x, cache)
        outputs.append(output)
    yield "mla: outputs", torch.cat(outputs, dim=1)
    yield "mla: latents", cache[0]
    yield "mla: rope keys", cache[1]


KATAS = (rope, sampling, static_kv_cache, gqa, padding, sliding_window, mla)


@torch.no_grad()
def solved():
    """Of each case its tensor, by the solutions."""
    return {name: made for kata in KATAS for name, made in kata()}


SOLVED = solved()


def test_the_table_has_the_cases_that_there_are():
    assert list(ROWS) == list(SOLVED), "run python -m tests.references.make"


@pytest.mark.parametrize("name", SOLVED)
def test_a_solution_gives_what_transformers_gives(name):
    torch.testing.assert_close(SOLVED[name], torch.tensor(ROWS[name]).to(SOLVED[name].dtype), rtol=1e-5, atol=1e-5)


def test_the_table_is_what_transformers_gives():
    transformers = pytest.importorskip("transformers", reason="the extra `references` is not installed")
    made = answers()
    assert list(made) == list(ROWS)
    for name, tensor in made.items():
        wanted = torch.tensor(ROWS[name]).to(tensor.dtype)
        torch.testing.assert_close(
            tensor,
            wanted,
            rtol=1e-6,
            atol=1e-6,
            msg=lambda text, name=name: (
                f"{name}, by transformers {transformers.__version__} and the table of {VERSION}: {text}"
            ),
        )
