"""Mistakes in splitting and merging heads."""

from torch import Tensor

from grading.diagnosis.mistake import Mistake
from katas.attention.program import Layer, Projected, split_heads


class Split(Mistake, Projected):
    see = "mha#Split-and-merge"


class SplitWithoutTranspose(Split):
    """the heads are split by view(B, H, L, E) alone, without view(B, L, H, E) and transpose(1, 2)

    A head is a stretch of tokens: features of different tokens are mixed.
    """

    often = True

    def split(self) -> None:
        self.query, self.key = _view(self.query, self.heads), _view(self.key, self.kv_heads)
        self.value = _view(self.value, self.kv_heads)


class KeysSplitByQueryLength(Split):
    """keys and values are split into heads by a view with the length of query

    Works for L == S only.
    """

    often = True
    needs = ("takes_a_mask",)

    def split(self) -> None:
        B, L, _ = self.query.shape
        self.query = split_heads(self.query, self.heads)
        self.key, self.value = (
            x.reshape(B, L, self.kv_heads, self.head_dim).transpose(1, 2) for x in (self.key, self.value)
        )


class HeadsViewedBothWays(SplitWithoutTranspose):
    """the heads are split by view(B, H, L, E) and merged by view(B, L, D), both without a transpose

    A head is a stretch of tokens: features of different tokens are mixed.
    """

    often = True

    def merge(self) -> None:
        B, _, L, _ = self.output.shape
        self.output = self.output.reshape(B, L, -1)


class SplitInterleaved(Split):
    """head h takes every H-th feature (h, h + H, ...) instead of the h-th block of head_dim features

    Trains, and cannot read weights that others have trained.
    """

    def split(self) -> None:
        self.query, self.key = _every_nth(self.query, self.heads), _every_nth(self.key, self.kv_heads)
        self.value = _every_nth(self.value, self.kv_heads)


class HeadsInterleavedBothWays(SplitInterleaved):
    """heads take every H-th feature when they are split and give it back when they are merged, (E, H) for (H, E)

    Trains, and cannot read weights that others have trained.
    """

    def merge(self) -> None:
        B, _, L, _ = self.output.shape
        self.output = self.output.permute(0, 2, 3, 1).reshape(B, L, -1)


class HeadsAsPositions(Split, Layer):
    """the heads stay behind the tokens, (B, L, H, E), so that heads attend to heads and no token sees another

    The shape is right where L == S, and every token is alone.
    """

    needs = ("feed",)

    def split(self) -> None:
        self.query = self.query.unflatten(-1, (self.heads, -1))  # type: ignore[no-untyped-call]
        self.key, self.value = (x.unflatten(-1, (self.kv_heads, -1)) for x in (self.key, self.value))  # type: ignore[no-untyped-call]

    def share(self) -> None:
        group = self.heads // self.kv_heads
        self.key, self.value = (x.repeat_interleave(group, dim=2) for x in (self.key, self.value))

    def merge(self) -> None:
        self.output = self.output.reshape(self.output.size(0), self.output.size(1), -1)


class BatchAsPositions(Split, Layer):
    """the inputs are read as (L, B, D), as nn.MultiheadAttention does without batch_first: it attends over the batch

    The shape is right, and each position attends to the same position of the other sequences.
    """

    needs = ("feed",)

    def receive(self) -> None:
        super().receive()
        self.query, self.key, self.value = (x.transpose(0, 1) for x in (self.query, self.key, self.value))

    def finish(self) -> None:
        super().finish()
        self.output = self.output.transpose(0, 1)


class _BatchOfTheQuery(BatchAsPositions):
    def split(self) -> None:
        B = self.query.size(0)
        self.query = split_heads(self.query, self.heads)
        self.key, self.value = (
            split_heads(x.reshape(B, -1, x.size(-1)), self.kv_heads) for x in (self.key, self.value)
        )


class HeadCountAndHeadDimExchanged(Split):
    """the features are split into head_dim heads of num_heads features instead of num_heads heads of head_dim

    The shapes are right, and the heads are others.
    """

    def split(self) -> None:
        self.query, self.key, self.value = (
            x.reshape(*x.shape[:-1], -1, self.heads).transpose(1, 2) for x in (self.query, self.key, self.value)
        )


class _AndScaledByIt(HeadCountAndHeadDimExchanged):
    def scale(self) -> None:
        self.factor = self.heads**-0.5


class OneHead(Split, Layer):
    """num_heads is not used: there is one head as wide as d_model

    All features share one set of weights.
    """

    needs = ("feed",)

    def split(self) -> None:
        self.query, self.key, self.value = (x.unsqueeze(1) for x in (self.query, self.key, self.value))

    def share(self) -> None:
        """Nothing to share."""


class _OneHeadAndItsScale(OneHead):
    def scale(self) -> None:
        self.factor = self.query.size(-1) ** -0.5


class BatchAndHeadsUnfoldedInWrongOrder(Split):
    """batch and heads are folded as (B * H) and read back as (H * B): heads land in another sequence

    Right for a batch of one.
    """

    def merge(self) -> None:
        B, H, L, E = self.output.shape
        self.output = self.output.reshape(H, B, L, E).transpose(0, 1)
        super().merge()


class Merge(Mistake, Projected):
    see = "mha#Split-and-merge"


class MergeWithoutTranspose(Merge):
    """the heads are merged by reshape(B, L, D) alone, without transpose(1, 2) before it

    A row of the output mixes several tokens of one head.
    """

    often = True

    def merge(self) -> None:
        B, _, L, _ = self.output.shape
        self.output = self.output.reshape(B, L, -1)


class MergeInterleaved(Merge):
    """the heads are merged feature by feature (E, H) instead of head by head (H, E)

    o_proj gets the right numbers in the wrong places.
    """

    def merge(self) -> None:
        B, _, L, _ = self.output.shape
        self.output = self.output.permute(0, 2, 3, 1).reshape(B, L, -1)


class MergeTransposedLastTwo(Merge):
    """the heads are merged after transpose(-1, -2), positions and features, instead of transpose(1, 2)

    A row of the output mixes tokens, heads and features.
    """

    def merge(self) -> None:
        B, _, L, _ = self.output.shape
        self.output = self.output.transpose(-1, -2).reshape(B, L, -1)


class MergeTransposedFirstTwo(Merge):
    """the heads are merged after transpose(0, 1), batch and heads, instead of transpose(1, 2)

    Rows of the output come from other sequences.
    """

    def merge(self) -> None:
        B, _, L, _ = self.output.shape
        self.output = self.output.transpose(0, 1).reshape(B, L, -1)


class MergeReversed(Merge):
    """the heads are merged in the wrong order, the last one first

    o_proj gets the right heads in the wrong places.
    """

    def merge(self) -> None:
        self.output = self.output.flip(1)
        super().merge()


class MergeMean(Merge):
    """the heads are averaged, or summed, instead of put side by side

    The output has the width of one head.
    """

    def merge(self) -> None:
        self.output = self.output.mean(dim=1)


class FirstHeadOnly(Merge):
    """only the first head's output is used, for all heads

    The other heads have no effect.
    """

    def merge(self) -> None:
        self.output = self.output[:, :1].expand_as(self.output)
        super().merge()


def _view(x: Tensor, heads: int) -> Tensor:
    return x.reshape(x.size(0), heads, x.size(1), -1)


def _every_nth(x: Tensor, heads: int) -> Tensor:
    return x.reshape(x.size(0), x.size(1), -1, heads).permute(0, 3, 1, 2)


class KeysSplitWithoutTranspose(Split):
    """the heads of the keys and values are split by view(B, K, S, E) alone; only the queries are transposed

    A key head is a stretch of tokens: features of different tokens are mixed.
    """

    def split(self) -> None:
        self.query = split_heads(self.query, self.heads)
        self.key, self.value = _view(self.key, self.kv_heads), _view(self.value, self.kv_heads)
