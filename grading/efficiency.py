"""The efficiency star: whether a decode step copies the keys and values for each query head. It never fails anybody.

One new token attends to many; what its step holds at a time is counted in the candidate (candidate/meter.py), in sizes
of the step's keys and values. Projecting or concatenating them takes one, einsum may take another to bring them into
order, and scores are small beside them. A copy for each query head takes H / K of them for keys and for values: half
of that at least, where the copy of the keys is gone before that of the values is made. The bound lies half way to it.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from grading.candidate.learner import Learner
from grading.records import CheckFailed, Star
from grading.texts import ENGLISH, Texts

HEAD_DIM = 16
BATCH = 8  # with one sequence PyTorch's broadcasting sometimes does without a copy
TOKENS = 128  # the weights are small beside the cache of the batch; and a loop over tokens takes no time
HEADS = {"gqa": (16, 2), "gqa_kv_cache": (16, 2), "mqa": (8, 1)}  # query heads, key/value heads

# Llama-3-8B ("The Llama 3 Herd of Models", table 3), bfloat16; and a context for it
LAYERS, LLAMA_HEADS, LLAMA_KV_HEADS, LLAMA_HEAD_DIM, BYTES, CONTEXT = 32, 32, 8, 128, 2, 8192


def star(learner: Learner) -> Star | None:
    """The star of a kata that passed; None where it has none, or its code cannot answer."""
    stem = learner.kata.stem
    if stem not in HEADS:
        return None
    try:
        peak = _peak(learner, stem)
    except (CheckFailed, KeyError, TypeError, ValueError):
        return None
    found = Star(True, round(peak, 2)) if peak < bound(stem) else _cost(stem, round(peak, 2))
    return replace(found, text=Texts(ENGLISH).star(found))


def bound(stem: str) -> float:
    """In sizes of the keys and values: themselves, and half of the least that a copy for each query head takes."""
    heads, kv_heads = HEADS[stem]
    return 1 + heads / kv_heads / 4


def _peak(learner: Learner, stem: str) -> float:
    heads, kv_heads = HEADS[stem]
    d_model = heads * HEAD_DIM
    new, tokens = torch.ones(BATCH, 1, d_model), torch.ones(1, 1, 1).expand(BATCH, TOKENS, d_model)
    make = getattr(learner, learner.kata.symbols[0])
    if stem == "mqa":
        taken = make(d_model, heads).peak(new, tokens, tokens)
    elif stem == "gqa":
        taken = make(d_model, heads, kv_heads).peak(new, tokens, tokens)
    else:
        half = torch.ones(1, 1, 1, 1).expand(BATCH, kv_heads, TOKENS, HEAD_DIM)
        taken = make(d_model, heads, kv_heads).peak(new, (half, half))
    return float(taken) / (2 * BATCH * kv_heads * TOKENS * HEAD_DIM * new.element_size())


def _cost(stem: str, peak: float) -> Star:
    """What the copies come to in a real model."""
    kv_heads = 1 if stem == "mqa" else LLAMA_KV_HEADS
    times = LLAMA_HEADS // kv_heads
    cache = 2 * LAYERS * kv_heads * LLAMA_HEAD_DIM * BYTES * CONTEXT / 2**30
    return Star(False, peak, "", times, kv_heads, CONTEXT, cache, times * cache)
