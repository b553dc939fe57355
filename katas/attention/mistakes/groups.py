"""Mistakes in sharing key/value heads."""

from typing import ClassVar

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from katas.attention.program import Projected, split_heads


class Groups(Mistake, Projected):
    see = "gqa#Break-it"
    needs: ClassVar[tuple[str, ...]] = ("validate_groups",)


class GroupsOfAll(Mistake, Projected):
    """What multi-query attention can do wrong, too."""

    see = "gqa#Break-it"
    needs: ClassVar[tuple[str, ...]] = ("group",)


class KvHeadsTiled(Groups):
    """kv heads are tiled (repeat: 0 1 2 0 1 2) instead of repeated in place (repeat_interleave: 0 0 1 1 2 2)

    Query heads read the key/value head of another group; right for K == 1 and K == H only.
    """

    often = True

    def share(self) -> None:
        self.key, self.value = _tiled(self, self.key), _tiled(self, self.value)


class KvHeadsTiledForOneQuery(Groups):
    """for a single query kv heads are tiled, so that query head h reads key/value head h % num_kv_heads

    Steps go wrong where the prompt went well: they have code of their own.
    """

    def share(self) -> None:
        if self.query.size(-2) == 1:
            self.key, self.value = _tiled(self, self.key), _tiled(self, self.value)
        else:
            super().share()


class KeyHeadsTiled(Groups):
    """key heads are tiled (0 1 2 0 1 2), value heads repeated in place (0 0 1 1 2 2): only the latter is right

    A query head reads the key of one group and the value of another.
    """

    def share(self) -> None:
        self.key, self.value = _tiled(self, self.key), _repeated(self, self.value)


class ValueHeadsTiled(Groups):
    """value heads are tiled (0 1 2 0 1 2), key heads repeated in place (0 0 1 1 2 2): only the latter is right

    A query head reads the key of one group and the value of another.
    """

    def share(self) -> None:
        self.key, self.value = _repeated(self, self.key), _tiled(self, self.value)


class KvHeadOfWrongGroup(Groups):
    """query head h reads key/value head h // num_kv_heads instead of h // (num_heads // num_kv_heads)

    Right where num_kv_heads squared is num_heads.
    """

    often = True

    def share(self) -> None:
        index = torch.arange(self.heads) // self.kv_heads
        self.key, self.value = self.key[:, index], self.value[:, index]


class _LastForTheRest(KvHeadOfWrongGroup):
    def share(self) -> None:
        index = (torch.arange(self.heads) // self.kv_heads).clamp(max=self.kv_heads - 1)
        self.key, self.value = self.key[:, index], self.value[:, index]


class KvHeadsReversed(Groups):
    """the key/value heads are read in reverse order

    Query heads read the key/value head of another group.
    """

    def share(self) -> None:
        self.key, self.value = self.key.flip(1), self.value.flip(1)
        super().share()


class FeaturesRepeated(Groups):
    """repeat_interleave runs over the features before the heads are split: features are repeated instead of heads

    A head has each feature several times and lacks others.
    """

    def split(self) -> None:
        group = self.heads // self.kv_heads
        self.query = split_heads(self.query, self.heads)
        self.key = split_heads(self.key.repeat_interleave(group, dim=-1), self.heads)
        self.value = split_heads(self.value.repeat_interleave(group, dim=-1), self.heads)

    def share(self) -> None:
        """It is done already."""


class PositionsRepeated(Groups):
    """repeat_interleave runs over the positions instead of over the heads, and a reshape makes heads of the result

    A head has some tokens twice and lacks others.
    """

    def share(self) -> None:
        self.key, self.value = (
            _positions_repeated(self, x).reshape(x.size(0), self.heads, -1, x.size(-1)) for x in (self.key, self.value)
        )


class FirstValueHeadForAll(Groups):
    """every query head reads value head 0, with the key head of its own group

    The other value heads have no effect.
    """

    def share(self) -> None:
        self.key, self.value = _repeated(self, self.key), self.value[:, :1].expand(-1, self.heads, -1, -1)


class FirstKeyHeadForAll(Groups):
    """every query head reads key head 0, with the value head of its own group

    The other key heads have no effect.
    """

    def share(self) -> None:
        self.key, self.value = self.key[:, :1].expand(-1, self.heads, -1, -1), _repeated(self, self.value)


class FirstKvHeadForAll(Groups):
    """every query head reads key/value head 0

    The other key/value heads have no effect: it is multi-query attention.
    """

    often = True

    def share(self) -> None:
        self.key, self.value = (x[:, :1].expand(-1, self.heads, -1, -1) for x in (self.key, self.value))


class KvHeadsAveraged(Groups):
    """every query head reads the mean of the key/value heads

    All groups read the same keys and values.
    """

    def share(self) -> None:
        self.key, self.value = (
            x.mean(dim=1, keepdim=True).expand(-1, self.heads, -1, -1) for x in (self.key, self.value)
        )


class GroupQueriesSummed(GroupsOfAll):
    """the query heads of a group are summed before the scores, so that they share one set of weights

    All heads of a group give the same output.
    """

    def share(self) -> None:
        self.query = _for_each(self, _by_group(self).sum(dim=2))
        super().share()


class GroupQueriesAveraged(GroupsOfAll):
    """the query heads of a group are averaged before the scores, so that they share one set of weights

    All heads of a group give the same output.
    """

    def share(self) -> None:
        self.query = _for_each(self, _by_group(self).mean(dim=2))
        super().share()


class FirstQueryOfGroupForAll(GroupsOfAll):
    """only the first query head of a group is used, for all heads of the group

    All heads of a group give the same output.
    """

    def share(self) -> None:
        self.query = _for_each(self, _by_group(self)[:, :, 0])
        super().share()


class GroupSummedAway(GroupsOfAll):
    """only num_kv_heads heads reach o_proj: the query heads of a group were merged into one

    o_proj, or the reshape before it, does not fit.
    """

    def share(self) -> None:
        self.query = _by_group(self).sum(dim=2)


class _SummedAndReshaped(GroupSummedAway):
    def merge(self) -> None:
        output = self.output.transpose(1, 2)
        self.output = output.reshape(output.size(0), output.size(1), self.d_model)


class KvHeadsNotRepeated(Groups):
    """num_heads query heads meet num_kv_heads key/value heads: these are not repeated, or their positions are instead

    The product of queries and keys does not fit.
    """

    often = True

    def share(self) -> None:
        """Left out."""


class _PositionsInstead(KvHeadsNotRepeated):
    def share(self) -> None:
        self.key, self.value = _positions_repeated(self, self.key), _positions_repeated(self, self.value)


class KvHeadsRepeatedTooOften(Groups):
    """each key/value head is repeated num_kv_heads times instead of num_heads // num_kv_heads times

    The product of queries and keys does not fit, unless K * K == H.
    """

    def share(self) -> None:
        self.key, self.value = (x.repeat_interleave(self.kv_heads, dim=1) for x in (self.key, self.value))


class _TiledTooOften(KvHeadsRepeatedTooOften):
    def share(self) -> None:
        self.key, self.value = (x.repeat(1, self.kv_heads, 1, 1) for x in (self.key, self.value))


class GroupsMergedInWrongOrder(Groups):
    """the heads are merged as (H / K, K) instead of (K, H / K)

    o_proj gets the right heads in the wrong order.
    """

    def merge(self) -> None:
        B, _, L, E = self.output.shape
        self.output = self.output.reshape(B, self.kv_heads, -1, L, E).transpose(1, 2).reshape(B, -1, L, E)
        super().merge()


class QueriesGroupedInWrongOrder(Groups):
    """the query heads are grouped as (H / K, K) instead of (K, H / K): head h is put to key/value head h % K

    Query heads read the key/value head of another group, and the output has its heads in another order.
    """

    def share(self) -> None:
        self.query = self.query[:, _groups_outermost(self)]
        super().share()


class GroupRowsMixed(GroupsOfAll):
    """a group's queries become rows (L, H / K) and are read back as (H / K, L): positions and heads are mixed

    Right for one query, or one head in a group.
    """

    def share(self) -> None:
        super().share()
        self.query = _rows_mixed(self, self.query)


class _RowsReadBack(GroupRowsMixed):
    def share(self) -> None:
        super(GroupRowsMixed, self).share()

    def merge(self) -> None:
        self.output = _rows_mixed(self, self.output)
        super().merge()


class MaskGroupsInWrongOrder(Groups):
    """a (B, H, L, S) mask is read as (H / K, K) heads instead of (K, H / K)

    Heads use the mask of another head.
    """

    needs = ("validate_groups", "feed")

    def align(self) -> None:
        super().align()  # type: ignore[misc]
        if self.mask is not None and self.mask.dim() == 4 and self.mask.size(1) == self.heads:
            self.mask = self.mask[:, _groups_outermost(self)]


class MaskRowsInOtherOrder(GroupsOfAll):
    """the queries of a group are stacked as rows, and the rows of the mask are repeated in another order than they are

    Rows that stand head by head need a mask that is tiled, rows that stand position by position one that is repeated in
    place: a query uses the row of another.
    """

    needs = ("group", "align")

    def align(self) -> None:
        mixed_up = self.mask is not None and self._mixes_up(self.mask)
        super().align()  # type: ignore[misc]
        if self.mask is not None and mixed_up:
            G, L = self.heads // self.kv_heads, self.query.size(-2)
            if _of_heads(self.mask):
                rows = self.mask.unflatten(1, (-1, G)).flatten(2, 3)  # type: ignore[no-untyped-call]
                self.mask = rows[:, :, self._row(G, L)].flatten(1, 2)
            else:
                one = self.mask.reshape(-1, 1, *self.mask.shape[-2:])
                self.mask = one[:, 0, self._row(G, L) % L].repeat(1, self.kv_heads, 1, 1)

    def _mixes_up(self, mask: Tensor) -> bool:
        """Whether a mask, as it is handed in, is one of those that are repeated in another order: any."""
        return True

    def _row(self, group: int, length: int) -> Tensor:
        """(G, L): which row of the mask that is stacked head by head a query gets that stands position by position."""
        return torch.arange(group)[:, None] + torch.arange(length) * group


class _OfEveryHead(MaskRowsInOtherOrder):
    def _mixes_up(self, mask: Tensor) -> bool:
        return _of_heads(mask)


class _OfFourDimensions(MaskRowsInOtherOrder):
    def _mixes_up(self, mask: Tensor) -> bool:
        return mask.dim() == 4


class _RepeatedInPlace(MaskRowsInOtherOrder):
    def _mixes_up(self, mask: Tensor) -> bool:
        return not _of_heads(mask)

    def _row(self, group: int, length: int) -> Tensor:
        return torch.arange(group * length).view(group, length) // group


class _RepeatedUnlessFour(_RepeatedInPlace):
    def _mixes_up(self, mask: Tensor) -> bool:
        return mask.dim() != 4


class MaskOfKvHead(Groups):
    """of a (B, H, L, S) mask, a query head takes the mask that has the number of its key/value head

    Heads use the mask of another head.
    """

    needs = ("validate_groups", "feed")

    def align(self) -> None:
        super().align()  # type: ignore[misc]
        if self.mask is not None and self.mask.dim() == 4 and self.mask.size(1) == self.heads:
            self.mask = self.mask[:, torch.arange(self.heads) // (self.heads // self.kv_heads)]


def _repeated(program: Projected, x: Tensor) -> Tensor:
    return x.repeat_interleave(program.heads // program.kv_heads, dim=1)


def _positions_repeated(program: Projected, x: Tensor) -> Tensor:
    return x.repeat_interleave(program.heads // program.kv_heads, dim=2)


def _groups_outermost(program: Projected) -> Tensor:
    """The query heads in the order of (H / K, K) groups instead of (K, H / K)."""
    return torch.arange(program.heads).reshape(-1, program.kv_heads).T.flatten()


def _of_heads(mask: Tensor) -> bool:
    """Whether each head has a mask of its own."""
    return mask.dim() == 4 and mask.size(1) > 1


def _tiled(program: Projected, x: Tensor) -> Tensor:
    return x.repeat(1, program.heads // program.kv_heads, 1, 1)


def _by_group(program: Projected) -> Tensor:
    """(B, K, H / K, L, E)"""
    return program.query.unflatten(1, (program.kv_heads, -1))  # type: ignore[no-untyped-call,no-any-return]


def _rows_mixed(program: Projected, x: Tensor) -> Tensor:
    """(B, H, L, E) with the rows of each group, (L, H / K), read as (H / K, L)."""
    B, _, L, E = x.shape
    return x.reshape(B, program.kv_heads, -1, L, E).transpose(2, 3).reshape(B, -1, L, E)


def _for_each(program: Projected, reduced: Tensor) -> Tensor:
    """The one query of a group for each head of the group."""
    return reduced.repeat_interleave(program.heads // program.kv_heads, dim=1)
