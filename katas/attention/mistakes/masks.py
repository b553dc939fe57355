"""Mistakes in reading a mask."""

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from katas.attention.program import Attention, Core, Layer


class Form(Mistake, Layer):
    see = "mha#Mask-shapes"


class MaskIgnored(Mistake, Core):
    """the mask has no effect: it is never used, or what is done with it changes nothing (-1e-9 added, a result dropped)

    Every query attends to every key.
    """

    often = True
    see = "causal_mask#Fill"
    needs = ("takes_a_mask",)

    def orient(self) -> None:
        self.mask = None


class CausalWithoutAMask(Mistake, Core):
    """a causal mask is used where none is given, as a decoder has it

    Without a mask, queries do not see the keys behind them.
    """

    see = "causal_mask#Polarity"
    needs = ("takes_a_mask",)

    def score(self) -> None:
        super().score()
        if self.mask is None:
            L, S = self.scores.shape[-2:]
            self.mask = torch.ones(L, S, dtype=torch.bool).tril(self._past(L, S))

    def _past(self, L: int, S: int) -> int:
        """How many keys the first query has before it."""
        return 0


class _UnlessOneQuery(CausalWithoutAMask):
    def _past(self, L: int, S: int) -> int:
        return 0 if L > 1 else S


class _AtTheLowerRight(CausalWithoutAMask):
    def _past(self, L: int, S: int) -> int:
        return S - L


class MaskInverted(Mistake, Core):
    """the mask is read the wrong way round: True keys are hidden and False keys are attended to

    Queries see exactly what they must not see.
    """

    often = True
    see = "causal_mask#Polarity"

    def orient(self) -> None:
        self.mask = None if self.mask is None else ~self.mask


class MaskTransposed(Mistake, Core):
    """the mask is read as (S, L), a row for each key, instead of (L, S), a row for each query

    Works for L == S only, and hides the wrong pairs.
    """

    often = True
    see = "causal_mask#Polarity"

    def orient(self) -> None:
        super().orient()
        self.mask = None if self.mask is None else self.mask.transpose(-2, -1)


class MaskAlwaysUnsqueezed(Form):
    """every mask gets unsqueeze(1), also a mask (L, S), whose rows are then read as heads

    Only a mask (B, L, S) works; where L == H a mask (L, S) is applied per head, without an error.
    """

    often = True

    def align(self) -> None:
        self.mask = None if self.mask is None else self.mask.unsqueeze(1)


class _UnsqueezedAndMerged(MaskAlwaysUnsqueezed):
    def merge(self) -> None:
        """As many rows as there are: with a mask of five dimensions there are B times too many."""
        output = self.output.transpose(1, 2)
        self.output = output.reshape(output.size(0), -1, self.d_model)


class MaskUnsqueezedUnlessFour(Form):
    """every mask that has not four dimensions gets unsqueeze(1), also a mask (L, S), whose rows are then read as heads

    A mask (L, S) works for L == 1 only.
    """

    def align(self) -> None:
        if self.mask is not None and self.mask.dim() != 4:
            self.mask = self.mask.unsqueeze(1)


class BatchMaskReadAsHeads(Form):
    """the batch entries of a mask (B, L, S) are read as heads, as without unsqueeze(1)

    Fails unless B == H, and is wrong there.
    """

    often = True

    def align(self) -> None:
        """The mask is used as it is."""


class MaskReadAsPadding(Form):
    """a mask of two dimensions is read as (B, S), padding of the keys, instead of as (L, S)

    Fails unless B == L, and is wrong there.
    """

    often = True

    def align(self) -> None:
        if self.mask is not None and self.mask.dim() == 2:
            self.mask = self.mask[:, None, None]
        super().align()


class _PaddingAndNothingElse(MaskReadAsPadding):
    def align(self) -> None:
        if self.mask is not None and self.mask.dim() == 2:
            self.mask = self.mask[:, None, None]


class MaskOfFirstBatchEntry(Form):
    """the mask of the first batch entry is used for all of them

    The other entries of the batch see the wrong keys.
    """

    def align(self) -> None:
        super().align()
        if self.mask is not None and self.mask.dim() > 2:
            self.mask = self.mask[:1]


class _OfThreeOnly(MaskOfFirstBatchEntry):
    def align(self) -> None:
        if self.mask is not None and self.mask.dim() == 3:
            self.mask = self.mask[:1]
        super(MaskOfFirstBatchEntry, self).align()


class MaskOfFirstHead(Form):
    """the mask of the first head is used for all heads

    Right for masks that are the same for all heads.
    """

    def align(self) -> None:
        super().align()
        if self.mask is not None and self.mask.dim() > 2:
            self.mask = self.mask[:, :1]


class MaskOfFirstQuery(Mistake, Core):
    """the row of the first query is used for all queries, as if the mask were padding of the keys

    All queries see the same keys.
    """

    see = "causal_mask#Polarity"

    def orient(self) -> None:
        super().orient()
        self.mask = None if self.mask is None else self.mask[..., :1, :]


class MaskTiledOverHeads(Form):
    """batch and heads are one dimension, and the mask is tiled over it (repeat) instead of repeated in place

    Heads read the mask of another batch entry: with (B * H, L, S) scores entry b * H + h belongs to b.
    """

    def align(self) -> None:
        super().align()
        if self.mask is not None and self.mask.dim() == 4 and self.mask.size(1) == 1:
            B = self.mask.size(0)
            index = torch.arange(B * self.heads) % B  # entry i of the tiled mask belongs to batch i % B
            self.mask = self.mask[:, 0][index].unflatten(0, (B, self.heads))  # type: ignore[no-untyped-call]


class _TiledIfThree(MaskTiledOverHeads):
    def align(self) -> None:
        if self.mask is not None and self.mask.dim() == 3:
            super().align()
        else:
            super(MaskTiledOverHeads, self).align()


class MaskOfThreeUnsqueezed(Mistake, Attention):
    """a mask of three dimensions gets unsqueeze(1) where scores have four: by broadcasting it is (1, H, L, S)

    Its entries are read as sequences instead of as heads; it fails where there are as many of neither.
    """

    see = "sdpa#Masks"

    def orient(self) -> None:
        super().orient()
        if self.mask is not None and self.mask.dim() == 3 and self.scores.dim() == 4:
            self.mask = self.mask.unsqueeze(1)


class MaskTiledOverLeading(Mistake, Core):
    """the leading dimensions become one, and the mask is tiled over it (repeat) instead of broadcast (expand)

    A mask (B, 1, L, S) is used for other sequences than its own.
    """

    see = "sdpa#Masks"
    needs = ("deliver",)

    def orient(self) -> None:
        if self.mask is not None and self.mask.dim() > 2:
            masks, lead = self.mask.flatten(0, -3), self.scores.shape[:-2]
            index = torch.arange(lead.numel()) % masks.size(0)
            self.mask = masks[index].reshape(*lead, *masks.shape[1:])


class MaskMeetsFiveDimensions(Form):
    """the scores have five dimensions, (B, K, H/K, L, S), and a mask of four is broadcast against them as it is

    The batch of the mask meets the key/value heads: it fails, or is silently wrong where B == K or B == 1.
    """

    needs = ("group",)

    def align(self) -> None:
        if self.mask is not None:
            mask, B = _four(self.mask), self.scores.size(0)
            K, L, S = self.kv_heads, *self.scores.shape[-2:]
            if mask.dim() == 4:
                self.scores.unflatten(1, (K, -1)).masked_fill(mask, 0.0)  # type: ignore[no-untyped-call]  # may not fit
                mask = mask.unsqueeze(0).expand(B, K, self.heads // K, L, S).flatten(1, 2)
            self.mask = mask


class _ThreeMeetFive(MaskMeetsFiveDimensions):
    def align(self) -> None:
        if self.mask is not None and self.mask.dim() > 2:
            K, shape = self.kv_heads, self.scores.shape
            self.scores.unflatten(1, (K, -1)).masked_fill(self.mask, 0.0)  # type: ignore[no-untyped-call]  # may not fit
            self.mask = self.mask.expand(shape[0], K, self.heads // K, *shape[-2:]).flatten(1, 2)


def _four(mask: Tensor) -> Tensor:
    return mask.unsqueeze(1) if mask.dim() == 3 else mask
