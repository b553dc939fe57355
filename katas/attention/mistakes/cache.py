"""Mistakes in what goes into the cache, what comes out of it, and the form in which it is kept."""

import math

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from katas.attention.program import Cache, CachedLayer, split_heads


class Kept(Mistake, CachedLayer):
    see = "gqa_kv_cache#Break-it"


class NewBeforeOld(Kept):
    """the new keys and values are put before those of the cache instead of behind them

    The cache is in the wrong order, and new tokens see the wrong keys.
    """

    often = True

    def append(self) -> None:
        if self.past is not None:
            self.key = torch.cat([self.key, self.past[0]], dim=2)
            self.value = torch.cat([self.value, self.past[1]], dim=2)


class NewValuesBeforeOld(Kept):
    """the new values are put before those of the cache, and the new keys behind them, where both belong

    A key meets the value of another token.
    """

    def append(self) -> None:
        if self.past is not None:
            self.key = torch.cat([self.past[0], self.key], dim=2)
            self.value = torch.cat([self.value, self.past[1]], dim=2)


class NewKeysBeforeOld(Kept):
    """the new keys are put before those of the cache, and the new values behind them, where both belong

    A key meets the value of another token.
    """

    def append(self) -> None:
        if self.past is not None:
            self.key = torch.cat([self.key, self.past[0]], dim=2)
            self.value = torch.cat([self.past[1], self.value], dim=2)


class Joined(Kept):
    """Along which dimension old and new are joined."""

    grouping = True
    dim: int = 2

    def append(self) -> None:
        if self.past is not None:
            self.key = torch.cat([self.past[0], self.key], dim=self.dim)
            self.value = torch.cat([self.past[1], self.value], dim=self.dim)


class CacheJoinedAlongHeads(Joined):
    """old and new keys are joined along dimension 1, the heads, instead of dimension 2, the tokens

    The second chunk fails, or has too many heads.
    """

    dim = 1


class CacheJoinedAlongBatch(Joined):
    """old and new keys are joined along dimension 0, the batch, instead of dimension 2, the tokens

    The second chunk fails, or has too large a batch.
    """

    dim = 0


class CacheJoinedAlongFeatures(Joined):
    """old and new keys are joined along dimension 3, the features, instead of dimension 2, the tokens

    The second chunk fails.
    """

    dim = 3


class HeadsAndTokensJoined(Kept):
    """old and new keys are joined after heads and tokens have become one dimension: heads are mixed

    Right for one key/value head.
    """

    def append(self) -> None:
        if self.past is not None:
            pairs = zip(self.past, (self.key, self.value), strict=True)
            joined = [torch.cat([old.flatten(1, 2), new.flatten(1, 2)], dim=1) for old, new in pairs]
            self.key, self.value = (x.unflatten(1, (self.kv_heads, -1)) for x in joined)  # type: ignore[no-untyped-call]


class OldKeysAsValues(Kept):
    """the new values are joined to the cached keys instead of to the cached values

    From the second chunk on the old values are the old keys.
    """

    often = True

    def append(self) -> None:
        if self.past is not None:
            self.key = torch.cat([self.past[0], self.key], dim=2)
            self.value = torch.cat([self.past[0], self.value], dim=2)


class NewKeysAsValues(Kept):
    """the new keys are joined to the cached values instead of the new values

    From the second chunk on the new values are the new keys.
    """

    def append(self) -> None:
        if self.past is not None:
            new, self.key = self.key, torch.cat([self.past[0], self.key], dim=2)
            self.value = torch.cat([self.past[1], new], dim=2)


class KeysAsValuesInTheCache(Kept):
    """the keys are put into the value cache too: old and new values are keys

    The output after the first chunk is a mean of keys.
    """

    def append(self) -> None:
        if self.past is not None:
            self.key = torch.cat([self.past[0], self.key], dim=2)
            self.value = self.key

    def hand_out(self) -> None:
        self.cache = self.key, self.key


class KeysHandedOutTwice(KeysAsValuesInTheCache):
    """the cache that is handed out holds the keys twice, and the values nowhere

    The first chunk is right, and from the second on old values are old keys.
    """

    def append(self) -> None:
        super(KeysAsValuesInTheCache, self).append()


class CacheUnpackedInWrongOrder(Kept):
    """the cache is unpacked as (values, keys) although it is handed out as (keys, values)

    From the second chunk on old keys serve as values and old values as keys.
    """

    def append(self) -> None:
        if self.past is not None:
            self.key = torch.cat([self.past[1], self.key], dim=2)
            self.value = torch.cat([self.past[0], self.value], dim=2)


class CacheHandedOutInWrongOrder(Kept):
    """the cache is handed out as (values, keys) instead of (keys, values)

    From the second chunk on old keys serve as values and old values as keys.
    """

    def hand_out(self) -> None:
        self.cache = self.value, self.key


class CacheInWrongOrder(CacheHandedOutInWrongOrder):
    """the cache is (values, keys) instead of (keys, values), when it is handed in as when it is handed out

    The output of a sequence is right, and nobody else can use the cache.
    """

    often = True

    def append(self) -> None:
        self.past = self.past and (self.past[1], self.past[0])
        super().append()


class CacheIgnored(Kept):
    """the cache that is handed in is ignored: only the new tokens are attended to and handed out

    Each chunk is a sequence of its own.
    """

    often = True

    def append(self) -> None:
        """Left out."""


class CacheNotAttended(Kept):
    """the cache is extended, but the new tokens attend to themselves alone and not to the cache

    The cache is right and each chunk is a sequence of its own.
    """

    def append(self) -> None:
        """Not for the attention."""

    def hand_out(self) -> None:
        key, value = self.key, self.value
        super().append()
        self.cache, self.key, self.value = (self.key, self.value), key, value


class NewTokensNotAttended(Kept):
    """the new tokens attend to the cache alone and not to themselves

    The cache is right, and the latest tokens have no effect on the output.
    """

    def hand_out(self) -> None:
        super().hand_out()
        if self.past is not None:
            self.key, self.value = self.past

    def align_causal(self) -> None:
        if self.past is None:
            super().align_causal()


class OnlyNewHandedOut(Kept):
    """the cache that is handed out holds the new keys and values alone

    The second chunk is right, and the third has forgotten the first.
    """

    often = True

    def hand_out(self) -> None:
        new = self.tokens.size(1)
        self.cache = self.key[:, :, -new:], self.value[:, :, -new:]


class CacheNotExtended(Kept):
    """the cache that was handed in is handed out again, without the new keys and values

    The second chunk is right, and the third has forgotten it.
    """

    often = True

    def hand_out(self) -> None:
        self.cache = self.past or (self.key, self.value)


class LatestTokenDropped(Kept):
    """the cache that is handed out lacks the latest token

    The next chunk does not see it.
    """

    def hand_out(self) -> None:
        self.cache = self.key[:, :, :-1], self.value[:, :, :-1]


class NewTokensReplaceOldest(Kept):
    """the cache keeps its length: the oldest tokens are dropped for the new ones, as in a window that rolls

    What was first is forgotten.
    """

    def append(self) -> None:
        if self.past is not None:
            past = self.past[0].size(2)
            super().append()
            self.key, self.value = self.key[:, :, -past:], self.value[:, :, -past:]


class OldestDropped(Kept):
    """the oldest token of the cache is dropped at every call

    The cache is short, and what was first is forgotten.
    """

    def append(self) -> None:
        if self.past is not None:
            self.past = self.past[0][:, :, 1:], self.past[1][:, :, 1:]
        super().append()


class _OldestUnlessAlone(OldestDropped):
    def append(self) -> None:
        if self.past is not None and self.past[0].size(2) > 1:
            super().append()
        else:
            super(OldestDropped, self).append()


class NewTokensWrittenOverLast(Kept):
    """the new keys and values are written over the latest tokens of the cache instead of behind them

    The latest tokens are forgotten.
    """

    def append(self) -> None:
        if self.past is not None:
            kept = max(self.past[0].size(2) - self.key.size(2), 0)
            self.past = self.past[0][:, :, :kept], self.past[1][:, :, :kept]
            super().append()


class NewTokensWrittenOverFirst(Kept):
    """the new keys and values are written to the beginning of the cache, over the oldest tokens

    What was first is forgotten, and the order of the tokens is lost.
    """

    def append(self) -> None:
        if self.past is not None:
            new = self.key.size(2)
            self.key = torch.cat([self.key, self.past[0][:, :, new:]], dim=2)
            self.value = torch.cat([self.value, self.past[1][:, :, new:]], dim=2)


class _AndRoomLeft(NewTokensWrittenOverFirst):
    def append(self) -> None:
        if self.past is not None:
            pairs = zip(self.past, (self.key, self.value), strict=True)
            room = [torch.cat([old, torch.zeros_like(new)], dim=2) for old, new in pairs]
            for buffer, new in zip(room, (self.key, self.value), strict=True):
                buffer[:, :, : new.size(2)] = new
            self.key, self.value = room


class CacheOnSelf(Kept):
    """the module goes on from the keys and values that it kept on self instead of from the cache handed in

    One sequence is right; a second one, or a prefix continued twice, is not.
    """

    def append(self) -> None:
        self.past = self.past and self.memory
        super().append()

    def hand_out(self) -> None:
        super().hand_out()
        self.memory = self.cache


class _AlsoWithoutACache(CacheOnSelf):
    def append(self) -> None:
        self.past = self.memory
        super(CacheOnSelf, self).append()


class PastLengthOnSelf(Kept):
    """the module counts the tokens on self, and the causal mask goes by that count instead of the length of the cache

    One sequence is right; a second one, or a prefix continued twice, is not.
    """

    count: int = 0

    def align_causal(self) -> None:
        self.count = self.count if self.past is not None else 0
        self._advance()

    def _advance(self) -> None:
        """The mask of as many new tokens behind those that were counted."""
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(self.count)
        self.count += L


class _NeverFromZero(PastLengthOnSelf):
    def align_causal(self) -> None:
        self._advance()


class _BeginsAtTheCache(PastLengthOnSelf):
    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.count = 0 if self.past is None else self.count or S - L
        self._advance()


class BuffersInFloat32(Kept):
    """keys and values are kept in float32, as in a buffer made without a dtype, whatever the dtype of x is

    float64 loses half of its digits, and the cache of a half-precision model is twice as large.
    """

    def append(self) -> None:
        super().append()
        self.key, self.value = self.key.float(), self.value.float()

    def share(self) -> None:
        self.key, self.value = self.key.to(self.query.dtype), self.value.to(self.query.dtype)
        super().share()


class _AndReadSo(BuffersInFloat32):
    def share(self) -> None:
        super(BuffersInFloat32, self).share()


class CacheDetached(Kept):
    """the cache that is handed in or out is detached: no gradient gets past it

    The output is right, and earlier tokens are never trained through later ones.
    """

    def append(self) -> None:
        if self.past is not None:
            self.past = self.past[0].detach(), self.past[1].detach()
        super().append()


class KeysAndValuesDetached(Kept):
    """keys and values are detached, or projected under no_grad: k_proj and v_proj get no gradient

    The output is right, and k_proj and v_proj are never trained.
    """

    def append(self) -> None:
        self.key, self.value = self.key.detach(), self.value.detach()
        super().append()


# -------------------------------------------------------------------------------------------------- form


class Form(Mistake, CachedLayer):
    see = "gqa_kv_cache#Cost"
    needs = ("append",)


class CacheExpanded(Form):
    """the cache holds keys and values repeated for all num_heads query heads instead of num_kv_heads

    The output is right, and the cache is H / K times too large.
    """

    def append(self) -> None:
        group = self.heads // self.kv_heads
        self.key, self.value = (x.repeat_interleave(group, dim=1) for x in (self.key, self.value))
        super().append()

    def share(self) -> None:
        """It is done."""


class _PastExpandedToo(CacheExpanded):
    def append(self) -> None:
        if self.past is not None:
            key, value = (x.repeat_interleave(self.heads // x.size(1), dim=1) for x in self.past)
            self.past = key, value
        super().append()


class CacheTokenMajor(Form):
    """the cache is (B, S, K, E), tokens before heads, instead of (B, K, S, E)

    The output is right, and nobody else can use the cache.
    """

    def append(self) -> None:
        self.past = self.past and (self.past[0].transpose(1, 2), self.past[1].transpose(1, 2))
        super().append()

    def hand_out(self) -> None:
        self.cache = self.key.transpose(1, 2), self.value.transpose(1, 2)


class CacheUnsplit(Form):
    """the cache is (B, S, K * E), as it was before the heads were split, instead of (B, K, S, E)

    The output is right, and nobody else can use the cache.
    """

    def append(self) -> None:
        if self.past is not None:
            self.past = split_heads(self.past[0], self.kv_heads), split_heads(self.past[1], self.kv_heads)
        super().append()

    def hand_out(self) -> None:
        self.cache = self.key.transpose(1, 2).flatten(2), self.value.transpose(1, 2).flatten(2)


class CacheUnprojected(Form):
    """the cache holds the inputs x instead of keys and values, which are projected again at each call

    The output is right, and each step costs as much as all before it.
    """

    def project(self) -> None:
        if self.past is not None:
            self.tokens = torch.cat([self.past[0], self.tokens], dim=1)
        self.query = self.project_in("q_proj", self.query)
        self.key, self.value = self.project_in("k_proj", self.tokens), self.project_in("v_proj", self.tokens)

    def append(self) -> None:
        """It is done."""

    def hand_out(self) -> None:
        self.cache = self.tokens, self.tokens


class CacheKeysScaled(Form):
    """the keys are scaled by 1/sqrt(head_dim) before they go into the cache

    The output is right, and the cache holds scaled keys.
    """

    def append(self) -> None:
        self.key = self.key / math.sqrt(self.head_dim)
        super().append()

    def scale(self) -> None:
        self.factor = 1.0


class CacheKeysScaledAgain(Form):
    """the keys of the cache are scaled by 1/sqrt(head_dim) again at each call

    The older a token is, the smaller are its scores.
    """

    def append(self) -> None:
        super().append()
        self.key = self.key / math.sqrt(self.head_dim)

    def scale(self) -> None:
        self.factor = 1.0


class CacheStacked(Form):
    """the cache is one tensor of keys and values stacked, or a dict or list, instead of a tuple (keys, values)

    The output is right, and nobody else can use the cache.
    """

    def answer(self) -> tuple[Tensor, Tensor]:
        return self.output, torch.stack(self.cache)


class CacheNotReturned(Form):
    """forward returns the output alone, without the cache

    Nobody can go on from it.
    """

    def answer(self) -> Tensor:
        return self.output


class CacheReturnedFirst(Form):
    """forward returns (kv_cache, output) instead of (output, kv_cache)

    The two are taken for each other.
    """

    def answer(self) -> tuple[Cache, Tensor]:
        return self.cache, self.output
