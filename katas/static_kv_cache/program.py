"""Llama's attention with a static KV cache in named steps, for the diagnosis, and its star."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from grading.candidate.learner import Learner
from grading.diagnosis.raised import Refused
from grading.diagnosis.transcript import Transcript
from katas.attention.program import Continued
from katas.attention.star import CONTEXT, LLAMA_KV_HEADS, MemoryStar, cache_gib


class Store(Protocol):
    """What a program sees of a cache."""

    keys: Tensor
    values: Tensor
    length: int


class StaticLayer(Continued):
    """Grouped-query attention of new tokens over a cache that was allocated once, with rotary positions."""

    store: Store
    begin: int  # the length before the call
    new: int  # how many tokens are new
    positions: Tensor  # (L)
    angles: Tensor  # (L, E/2)

    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, rope_base: float = 10000.0) -> None:
        self.rope_base = rope_base
        self.make(d_model, num_heads, num_kv_heads, 0.0, False)

    @classmethod
    def idle(cls, check: Transcript) -> frozenset[str]:
        """Digits show in half precision, and in the check that asks for those of float64."""
        few = check.half or getattr(check, "strict", False)
        return super().idle(check) | (frozenset() if few else frozenset({"digits"}))

    def _validate_more(self) -> None:
        super()._validate_more()
        self.validate_pairs()

    def validate_pairs(self) -> None:
        if self.d_model // self.heads % 2:
            raise ValueError("head_dim must be even")

    def __call__(self, x: Tensor, cache: Store) -> Any:
        self.query = self.key = self.value = self.tokens = x
        self.store, self.mask = cache, None
        self.begin, self.new = cache.length, x.size(1)
        self.past = (cache.keys, cache.values) if self.begin else None
        self.receive()
        self.fit()
        self.project()
        self.split()
        self.locate()
        self.angle()
        self.digits()
        self.rotate()
        self.write()
        self.advance()
        self.read()
        self.share()
        self.attend()
        self.merge()
        self.project_out()
        self.finish()
        return self.answer()

    @property
    def end(self) -> int:
        """The length after the call."""
        return self.begin + self.new

    @property
    def wide(self) -> torch.dtype:
        """What angles are computed in."""
        return torch.promote_types(self.tokens.dtype, torch.float32)

    def fit(self) -> None:
        """The new tokens have to fit into the slots that are left."""
        if self.end > self.store.keys.size(2):
            raise Refused("the tokens do not fit into the cache")

    def locate(self) -> None:
        """The positions of the new tokens go on from those that are written."""
        self.positions = torch.arange(self.begin, self.end)

    def angle(self) -> None:
        """The angle of each pair of features at each position."""
        self.angles = self._angles(2 * torch.arange(self.head_dim // 2, dtype=self.wide) / self.head_dim)

    def _angles(self, exponents: Tensor) -> Tensor:
        return torch.outer(self.positions.to(self.wide), self.rope_base**-exponents)

    def digits(self) -> None:
        """The angles have the digits of float32 at least, and those of float64 for float64."""

    def rotate(self) -> None:
        """Queries and keys are turned, values are not."""
        self.query, self.key = self.turn(self.query, self.angles), self.turn(self.key, self.angles)

    def turn(self, x: Tensor, angles: Tensor) -> Tensor:
        """Features of (B, heads, L, E) in pairs, by angles (L, E/2)."""
        return turned(x, angles)

    def write(self) -> None:
        """The new keys and values go into the slots behind those that are written."""
        self.store.keys[:, :, self.begin : self.end] = self.key
        self.store.values[:, :, self.begin : self.end] = self.value

    def advance(self) -> None:
        self.store.length = self.end

    def read(self) -> None:
        """The slots that are written are attended to."""
        self.key, self.value = self.store.keys[:, :, : self.end], self.store.values[:, :, : self.end]

    def answer(self) -> Any:
        return self.output


def turned(x: Tensor, angles: Tensor) -> Tensor:
    """Feature i and feature i + E/2 of (B, heads, L, E), turned by angles (L, E/2)."""
    a, b = x.to(torch.promote_types(x.dtype, angles.dtype)).chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)


class StaticStar(MemoryStar):
    """Whether a step allocates anything of the cache's size, in sizes of the cache.

    Scores of one new token are small beside it. Where keys are copied, or values, it is half a cache at least, and with
    a copy for each query head H / K times as much, as in Llama-3-8B. The bound lies below half of that half.
    """

    templates = (
        "right; a step writes its own slots, and allocates nothing of the cache's size",
        "right; but a step allocates {peak:.2g} times the cache: at Llama-3-8B size and {tokens:,} tokens it writes "
        "{copies:.2g} GiB of copies of a {cache:.3g} GiB cache",
    )
    bound = 0.3
    HEADS, KV_HEADS, HEAD_DIM, SLOTS, BATCH = 4, 1, 64, 128, 16

    def peak(self, learner: Learner) -> float:
        make: Any = learner.LlamaAttention
        layer = make(self.HEADS * self.HEAD_DIM, self.HEADS, self.KV_HEADS)
        room = torch.zeros(1, 1, 1, 1).expand(self.BATCH, self.KV_HEADS, self.SLOTS, self.HEAD_DIM)
        cache = learner.KVCache(room, room, self.SLOTS - 1)
        taken = layer.peak(torch.ones(self.BATCH, 1, self.HEADS * self.HEAD_DIM), cache)
        return float(taken) / (2 * room.numel() * room.element_size())

    def said(self, peak: float) -> tuple[str, dict[str, float]]:
        cache = cache_gib(LLAMA_KV_HEADS)
        if peak < self.bound:
            return self.templates[0], {}
        return self.templates[1], {"peak": peak, "tokens": CONTEXT, "copies": peak * cache, "cache": cache}
