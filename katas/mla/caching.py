"""Mistakes in what goes into the cache, what comes out of it, and the form in which it is kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from katas.attention.program import Cache
from katas.mla.program import LatentLayer


class Cached(Mistake, LatentLayer):
    see = "mla#What-is-cached"


# ------------------------------------------------------------------------------------------------ form


class ExpandedKeysCached(Cached):
    """the cache holds the keys and values of all heads, made of the latents, instead of latents and rope keys

    The output of a sequence is right, and nothing is saved: the cache is as large as that of multi-head attention.
    """

    def join(self) -> None:
        """The past is in another form."""

    def assemble(self) -> None:
        super().assemble()
        if self.past is not None:
            self.key = torch.cat([self.past[0], self.key], dim=2)
            self.value = torch.cat([self.past[1], self.value], dim=2)
        self.cache = self.key, self.value

    def count(self) -> None:
        self.new, self.begin = self.tokens.size(1), 0 if self.past is None else self.past[0].size(2)


class _OfTokensFirst(ExpandedKeysCached):
    def count(self) -> None:
        self.new, self.begin = self.tokens.size(1), 0 if self.past is None else self.past[0].size(1)

    def assemble(self) -> None:
        super(ExpandedKeysCached, self).assemble()
        new = self.key.transpose(1, 2), self.value.transpose(1, 2)
        self.cache = new if self.past is None else _joined(self.past, new)
        self.key, self.value = (each.transpose(1, 2) for each in self.cache)


def _joined(old: Cache, new: Cache) -> Cache:
    return torch.cat([old[0], new[0]], dim=1), torch.cat([old[1], new[1]], dim=1)


class RopeKeyCachedPerHead(Cached):
    """the rope key is cached once for each head, (B, H, S, Er), although it is the same for all

    The output of a sequence is right, and the cache is larger by (H - 1) * Er a token.
    """

    def hand_out(self) -> None:
        self.cache = self.latent, self.rope_key.unsqueeze(1).expand(-1, self.heads, -1, -1)

    def join(self) -> None:
        self.past = self.past and (self.past[0], self.past[1][:, 0])
        super().join()


class RopeKeyCachedWithAnAxis(Cached):
    """the rope key is cached with an axis for the heads, (B, 1, S, Er), instead of as (B, S, Er)

    The output of a sequence is right, and nobody else can use the cache.
    """

    def hand_out(self) -> None:
        self.cache = self.latent, self.rope_key.unsqueeze(1)

    def join(self) -> None:
        self.past = self.past and (self.past[0], self.past[1].squeeze(1))
        super().join()


class _BehindTheTokens(RopeKeyCachedWithAnAxis):
    def hand_out(self) -> None:
        self.cache = self.latent, self.rope_key.unsqueeze(2)

    def join(self) -> None:
        self.past = self.past and (self.past[0], self.past[1].squeeze(2))
        super(RopeKeyCachedWithAnAxis, self).join()


class LatentCacheInOneTensor(Cached):
    """the cache is one tensor (B, S, R + Er), or a list or dict, instead of a tuple of two

    The output of a sequence is right, and nobody else can use the cache.
    """

    def answer(self) -> Any:
        return self.output, torch.cat(self.cache, dim=-1)


class LatentCacheInOtherOrder(Cached):
    """the cache is (rope_key, latent) instead of (latent, rope_key)

    Nobody else can use the cache.
    """

    def hand_out(self) -> None:
        self.cache = self.rope_key, self.latent

    def count(self) -> None:
        self.past = self.past and (self.past[1], self.past[0])
        super().count()


class LatentCacheNotReturned(Cached):
    """forward returns the output alone, without the cache

    Nobody can go on from it.
    """

    def answer(self) -> Any:
        return self.output


class LatentCacheReturnedFirst(Cached):
    """forward returns (cache, output) instead of (output, cache)

    The two are taken for each other.
    """

    def answer(self) -> Any:
        return self.cache, self.output


class ThreeInTheCache(Cached):
    """the cache holds more than latents and rope keys, such as the length or the values

    Whatever it is follows from the two.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        values = (step.reply.get("value") for step in check.steps if step.request["do"] == "call")
        pairs = [value for value in values if isinstance(value, tuple) and len(value) == 2]
        return any(isinstance(pair[1], tuple | list) and len(pair[1]) > 2 for pair in pairs)


# --------------------------------------------------------------------------------------------- contents


class LatentCacheIgnored(Cached):
    """the cache that is handed in is ignored: only the new tokens are attended to and handed out

    Each call is a sequence of its own.
    """

    def join(self) -> None:
        """Left out."""


class _ButForThePositions(LatentCacheIgnored):
    def count(self) -> None:
        super().count()
        self.begin = 0


class NewLatentsFirst(Cached):
    """the new latents and rope keys are put before those of the cache instead of behind them

    The cache is in the wrong order, and new tokens see the wrong keys.
    """

    def join(self) -> None:
        if self.past is not None:
            self.latent = torch.cat([self.latent, self.past[0]], dim=1)
            self.rope_key = torch.cat([self.rope_key, self.past[1]], dim=1)


class OnlyNewLatentsHandedOut(Cached):
    """the cache that is handed out holds the new tokens alone

    The second call is right, and the third has forgotten the first.
    """

    def hand_out(self) -> None:
        self.cache = self.latent[:, -self.new :], self.rope_key[:, -self.new :]


class LatentCacheNotExtended(Cached):
    """the cache that was handed in is handed out again, without the new tokens

    The second call is right, and the third has forgotten it.
    """

    def hand_out(self) -> None:
        self.cache = self.past or (self.latent, self.rope_key)


class LatentCacheNotAttended(Cached):
    """the cache is extended, but the new tokens attend to themselves alone and not to the past

    The cache is right, and each call is a sequence of its own.
    """

    def reread(self) -> None:
        self.latent, self.rope_key = self.latent[:, self.begin :], self.rope_key[:, self.begin :]


class LatentCacheOnSelf(Cached):
    """the layer goes on from what it kept on self instead of from the cache handed in

    One sequence is right; a second one, or a prefix continued twice, is not.
    """

    memory: Cache | None = None

    def count(self) -> None:
        self.past = self.past and self.memory
        super().count()

    def hand_out(self) -> None:
        super().hand_out()
        self.memory = self.cache


class _AlsoWithoutACache(LatentCacheOnSelf):
    def count(self) -> None:
        self.past = self.memory
        super(LatentCacheOnSelf, self).count()


class LatentCacheChangedInPlace(Cached):
    """the cache that was handed in is changed in place

    A prefix cannot be continued twice.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return "cache" in check.modified()


class UpWeightsKept(Cached):
    """what is made of kv_b_proj.weight is made once and kept: it is not made anew when the weights change

    Right as long as nobody loads weights, or trains, after the first call.
    """

    kept: Tensor | None = None

    def raise_up(self) -> None:
        if self.kept is None:
            self.kept = self.layers["kv_b_proj.weight"]
        self.up = (self.latent @ self.kept.T).unflatten(-1, (self.heads, -1))  # type: ignore[no-untyped-call]
