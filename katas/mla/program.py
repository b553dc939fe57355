"""Multi-head latent attention in named steps, for the diagnosis, and its star.

The program is the expanded form: it makes the keys and values of all heads. The absorbed form gives the same numbers.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from grading.candidate.learner import Learner
from grading.diagnosis.transcript import Shapes, Transcript
from katas.attention.program import Cache, Continued, split_heads
from katas.attention.star import BYTES, CONTEXT, MemoryStar
from katas.rope.program import Rotation

MADE = frozenset({"validate_rope", "admit", "shapes", "biases"})


class LatentLayer(Continued, Rotation):
    """Causal attention of new tokens over a cache of latents, and themselves."""

    past: Cache | None  # latents and rope keys of those that came before
    cache: Cache  # the cache handed out
    begin: int  # the length of the past
    new: int  # how many tokens are new
    where: Tensor  # (L), their positions
    down: Tensor  # (B, L, R + Er), what kv_a_proj gives
    plain: Tensor  # (B, H, L, E), the parts of the queries
    rope: Tensor  # (B, H, L, Er)
    latent: Tensor  # (B, L, R), then (B, S, R)
    rope_key: Tensor  # (B, L, Er), then (B, S, Er)
    up: Tensor  # (B, S, H, 2E), what kv_b_proj gives

    def __init__(self, d_model: int, num_heads: int, head_dim: int, rope_dim: int, latent_dim: int) -> None:
        self.d_model, self.heads, self.kv_heads = d_model, num_heads, num_heads
        self.head_dim, self.rope_dim, self.latent_dim = head_dim, rope_dim, latent_dim
        self.validate_rope()
        self.admit()

    @classmethod
    def idle(cls, check: Transcript) -> frozenset[str]:
        """Digits show in half precision, and in the check that asks for those of float64."""
        few = check.half or getattr(check, "strict", False)
        digits: frozenset[str] = frozenset() if few else frozenset({"restore_dtype"})
        return super().idle(check) | (MADE if check.made_right else frozenset()) | digits

    def validate_rope(self) -> None:
        if self.rope_dim % 2:
            raise ValueError("rope_dim must be even")

    def admit(self) -> None:
        """Nothing else is asked of the sizes."""

    def parameters(self) -> Shapes:
        found = self.shapes()
        return found | {f"{name.removesuffix('weight')}bias": found[name][:1] for name in found if self.biases()}

    def shapes(self) -> Shapes:
        H, E, Er, R = self.heads, self.head_dim, self.rope_dim, self.latent_dim
        return {
            "q_proj.weight": (H * (E + Er), self.d_model),
            "kv_a_proj.weight": (R + Er, self.d_model),
            "kv_b_proj.weight": (H * 2 * E, R),
            "o_proj.weight": (self.d_model, H * E),
        }

    def biases(self) -> bool:
        """Whether the layers have biases."""
        return False

    def __call__(self, x: Tensor, cache: Cache | None = None) -> Any:
        self.query = self.tokens = x
        self.past, self.mask = cache, None
        self.receive()
        self.count()
        self.project()
        self.split()
        self.part_query()
        self.part_down()
        self.finish_latent()
        self.locate()
        self.turn_query()
        self.turn_key()
        self.join()
        self.hand_out()
        self.reread()
        self.raise_up()
        self.part_up()
        self.assemble()
        self.attend()
        self.merge()
        self.project_out()
        self.finish()
        return self.answer()

    def count(self) -> None:
        """How many tokens are new, and how many came before."""
        self.new, self.begin = self.tokens.size(1), 0 if self.past is None else self.past[0].size(1)

    def project(self) -> None:
        self.query, self.down = self.project_in("q_proj", self.query), self.project_in("kv_a_proj", self.tokens)

    def split(self) -> None:
        self.query = split_heads(self.query, self.heads)

    def part_query(self) -> None:
        """The plain part comes first."""
        self.plain, self.rope = self.query.split([self.head_dim, self.rope_dim], dim=-1)  # type: ignore[no-untyped-call]

    def part_down(self) -> None:
        """The latent comes first."""
        self.latent, self.rope_key = self.down.split([self.latent_dim, self.rope_dim], dim=-1)  # type: ignore[no-untyped-call]

    def finish_latent(self) -> None:
        """The latent is kept as it is projected."""

    def locate(self) -> None:
        """The positions of the new tokens go on from the past."""
        self.where = torch.arange(self.begin, self.begin + self.new)

    def turn_query(self) -> None:
        self.rope = self.rotated(self.rope, self.where)

    def turn_key(self) -> None:
        self.rope_key = self.rotated(self.rope_key, self.where)

    def join(self) -> None:
        """Latents and rope keys of the past come first."""
        if self.past is not None:
            self.latent = torch.cat([self.past[0], self.latent], dim=1)
            self.rope_key = torch.cat([self.past[1], self.rope_key], dim=1)

    def hand_out(self) -> None:
        """What the caller gets as the cache."""
        self.cache = self.latent, self.rope_key

    def reread(self) -> None:
        """What is attended to is what the cache holds."""

    def raise_up(self) -> None:
        self.up = self.project_in("kv_b_proj", self.latent).unflatten(-1, (self.heads, -1))  # type: ignore[no-untyped-call]

    def part_up(self) -> None:
        """The plain key comes first, in each head; then the value."""
        self.key, self.value = self.up.transpose(1, 2).chunk(2, dim=-1)

    def assemble(self) -> None:
        """Each head compares both parts, and the rope key is the same for all."""
        rope_key = self.rope_key.unsqueeze(1).expand(-1, self.heads, -1, -1)
        self.query, self.key = torch.cat([self.plain, self.rope], dim=-1), torch.cat([self.key, rope_key], dim=-1)

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.head_dim + self.rope_dim)

    def answer(self) -> Any:
        return self.output, self.cache


class LatentStar(MemoryStar):
    """Whether a step makes keys or values of all heads, in sizes of the keys: B * S * H * E elements.

    What the absorbed form holds, a longer cache and the weights of all heads, is small beside them, as there are few
    features in a latent and in a rope key. Where all latents are brought up to keys, or to values, it is one such size
    at least, and as much where a product of latents copies them for each head. The bound is half of that.
    """

    templates = (
        "right; a step makes no keys and no values of all heads: it reads the latents themselves",
        "right; but a step makes {peak:.2g} times the keys of all heads: at DeepSeek-V3 size and {tokens:,} tokens "
        "that is {copies:.3g} GiB, made at every step of a {cache:.2g} GiB cache",
    )
    bound = 0.5
    D_MODEL, HEADS, HEAD_DIM, ROPE_DIM, LATENT_DIM, TOKENS, BATCH = 64, 16, 64, 8, 64, 512, 2
    # "DeepSeek-V3 Technical Report", section 4.2: layers, heads, head_dim, rope_dim, latent_dim
    MODEL = (61, 128, 128, 64, 512)

    def peak(self, learner: Learner) -> float:
        make: Any = learner.LatentAttention
        layer = make(self.D_MODEL, self.HEADS, self.HEAD_DIM, self.ROPE_DIM, self.LATENT_DIM)
        room = torch.zeros(1, 1, 1)
        cache = tuple(room.expand(self.BATCH, self.TOKENS - 1, width) for width in (self.LATENT_DIM, self.ROPE_DIM))
        taken = layer.peak(torch.ones(self.BATCH, 1, self.D_MODEL), cache)
        return float(taken) / (self.BATCH * self.TOKENS * self.HEADS * self.HEAD_DIM * room.element_size())

    def said(self, peak: float) -> tuple[str, dict[str, float]]:
        if peak < self.bound:
            return self.templates[0], {}
        layers, heads, head_dim, rope_dim, latent_dim = self.MODEL
        gib = layers * BYTES * CONTEXT / 2**30
        figures = {"copies": peak * gib * heads * head_dim, "cache": gib * (latent_dim + rope_dim)}
        return self.templates[1], {"peak": peak, "tokens": CONTEXT, **figures}
