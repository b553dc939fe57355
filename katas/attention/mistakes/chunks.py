"""Mistakes in the mask of new tokens over a cache."""

import math

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from katas.attention.program import Continued


class Chunk(Mistake, Continued):
    see = "gqa_kv_cache#Causal-mask-top-left"


class Band(Chunk):
    """A triangle, moved by some positions from where it should be."""

    grouping = True
    moved: int = 0

    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(S - L + self.moved)


class CausalMaskMissing(Chunk):
    """there is no causal mask: every new token attends to all the new tokens

    Right for one token at a time, wrong for longer chunks.
    """

    often = True

    def align_causal(self) -> None:
        self.mask = None


class CausalMaskOnlyWithoutCache(Chunk):
    """the causal mask is used only when there is no cache: later chunks are unmasked

    Right for one token at a time after the prompt, wrong for longer chunks.
    """

    often = True

    def align_causal(self) -> None:
        if self.past is None:
            super().align_causal()


class _OnlyWhereSquare(CausalMaskOnlyWithoutCache):
    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        if L == S:
            super(CausalMaskOnlyWithoutCache, self).align_causal()


class CausalMaskOnlyWithCache(Chunk):
    """the causal mask is used only when there is a cache: the first chunk is unmasked

    The prompt sees what comes after each of its tokens.
    """

    def align_causal(self) -> None:
        if self.past is not None:
            super().align_causal()


class CausalMaskTopLeft(Chunk):
    """new token i sees keys 0..i (top-left) instead of all the past and the new ones up to itself (bottom-right)

    The first chunk is right; later ones see only the oldest keys.
    """

    often = True

    def align_causal(self) -> None:
        self.mask = torch.ones(self.scores.shape[-2:], dtype=torch.bool).tril()


class _TopLeftUnlessOne(CausalMaskTopLeft):
    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(0 if L > 1 else S)


class CausalMaskUpper(Chunk):
    """the upper triangle is allowed (triu) instead of the lower one (tril)

    A token sees itself and what comes after it.
    """

    often = True

    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).triu(S - L)


class _UpperTopLeft(CausalMaskUpper):
    def align_causal(self) -> None:
        self.mask = torch.ones(self.scores.shape[-2:], dtype=torch.bool).triu()


class _UpperStrict(CausalMaskUpper):
    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).triu(S - L + 1)


class CausalMaskStrict(Band):
    """the causal mask is off by one: a token does not attend to itself

    The first token may attend to nothing.
    """

    often = True
    moved = -1


class _StrictAndNan(CausalMaskStrict):
    empty = math.nan


class _StrictAndUniform(CausalMaskStrict):
    def fill(self) -> None:
        assert self.mask is not None
        self.scores = self.scores.masked_fill(~self.mask, -1e9)

    def clear(self) -> None:
        """Its weights stay."""


class _StrictButTheFirst(CausalMaskStrict):
    def align_causal(self) -> None:
        super().align_causal()
        assert self.mask is not None
        self.mask[0, 0] |= self.past is None


class CausalMaskStrictWithCache(Band):
    """a new token does not attend to itself when there is a cache

    The first chunk is right.
    """

    def align_causal(self) -> None:
        self.moved = 0 if self.past is None else -1
        super().align_causal()


class _StrictUnlessCacheIsEmpty(CausalMaskStrictWithCache):
    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.moved = -1 if S > L else 0
        super(CausalMaskStrictWithCache, self).align_causal()


class CausalMaskOneAhead(Band):
    """the causal mask is off by one: a token attends to the token after it

    What comes next leaks into each token but the last.
    """

    often = True
    moved = 1


class CausalMaskWithoutPast(Chunk):
    """the causal mask is (L, L) and does not cover the keys of the cache

    The second chunk fails.
    """

    often = True

    def align_causal(self) -> None:
        L = self.scores.size(-2)
        self.mask = torch.ones(L, L, dtype=torch.bool).tril()


class PastOnTheRight(Chunk):
    """the columns of the mask that are for the cache stand behind the triangle instead of before it

    New tokens see the wrong keys of the past and of the chunk.
    """

    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.cat([torch.ones(L, L).tril(), torch.ones(L, S - L)], dim=1).bool()


class PastLengthFromHeads(Chunk):
    """the length of the past is read from dimension 1 of the cache, its heads, instead of dimension 2

    Right where the cache holds as many tokens as heads.
    """

    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(self.kv_heads if self.past is not None else 0)


class PastHidden(Chunk):
    """the new tokens see the new ones up to themselves and nothing of the past: the mask hides the cache

    The first chunk is right, and each later one is a sequence of its own.
    """

    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(S - L).triu(S - L - L + 1)
        self.mask[:, : S - L] = False


class NewHidden(Chunk):
    """the new tokens see the past and nothing of the new ones, not even themselves: the mask hides them

    The first chunk sees nothing.
    """

    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool)
        self.mask[:, S - L :] = False


class NewSeeOnlyThemselves(Chunk):
    """a new token sees the past and itself, and not the new ones before it

    Right for one token at a time.
    """

    def align_causal(self) -> None:
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool)
        self.mask[:, S - L :] = torch.eye(L, dtype=torch.bool)


class UnwrittenSlotsAttended(Chunk):
    """attention runs over a buffer of a fixed size, and its slots that are not written yet, zeros, get a weight

    The weights of the tokens sum to less than 1.
    """

    needs = ("append",)
    slots: int = 0  # of the buffer; 0 stands for the next multiple of 8

    def soften(self, scores: Tensor) -> Tensor:
        S = scores.size(-1)
        unwritten = (self.slots or 8 * math.ceil((S + 1) / 8)) - S
        return super().soften(scores) * _share(scores.logsumexp(dim=-1, keepdim=True), unwritten)


def _share(total: Tensor, unwritten: int) -> Tensor:
    """What is left beside so many scores of zero."""
    return 1 / (1 + max(unwritten, 0) * (-total).exp())


class _Of32(UnwrittenSlotsAttended):
    slots = 32


class _Of64(UnwrittenSlotsAttended):
    slots = 64


class _Of128(UnwrittenSlotsAttended):
    slots = 128


class _Of512(UnwrittenSlotsAttended):
    slots = 512


class _Of1024(UnwrittenSlotsAttended):
    slots = 1024


class _Of2048(UnwrittenSlotsAttended):
    slots = 2048
