"""Mistakes in constructors, parameters, inputs, gradients and cost: what no output shows."""

from __future__ import annotations

from torch import Tensor

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from grading.diagnosis.transcript import Shapes
from katas.attention.program import NAMES, Attention, CachedLayer, Core, Grouped, Projected


class Parameters(Mistake, Projected):
    see = "mha#Parameters"


class GroupParameters(Mistake, Projected):
    see = "gqa#Parameters"
    needs = ("validate_groups",)


class NarrowParameters(Mistake, Projected):
    """Of layers with fewer key/value heads than query heads."""

    see = "gqa#Parameters"
    needs = ("group",)


class AsManyHeads(NarrowParameters):
    """Keys and values have as many heads as their projections are wide."""

    grouping = True

    def heads_in(self, x: Tensor) -> int:
        return x.size(-1) // self.head_dim

    def to_all_heads(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(self.heads // x.size(1), dim=1)


class KvProjectionsFullWidth(AsManyHeads):
    """k_proj and v_proj are Linear(d_model, d_model), as wide as q_proj, as in multi-head attention

    Nothing is saved: each query head has keys and values of its own.
    """

    def widths(self) -> dict[str, int]:
        return dict.fromkeys(NAMES, self.d_model)


class VProjectionFullWidth(AsManyHeads):
    """v_proj is Linear(d_model, d_model), as wide as q_proj; only k_proj is narrow

    Keys and values have different numbers of heads.
    """

    def widths(self) -> dict[str, int]:
        return super().widths() | {"v_proj": self.d_model}


class KProjectionFullWidth(AsManyHeads):
    """k_proj is Linear(d_model, d_model), as wide as q_proj; only v_proj is narrow

    Keys and values have different numbers of heads.
    """

    def widths(self) -> dict[str, int]:
        return super().widths() | {"k_proj": self.d_model}


class KvProjectionsOfGroupSize(AsManyHeads):
    """k_proj and v_proj have num_heads // num_kv_heads heads, the size of a group, instead of num_kv_heads

    The number of groups and the size of a group are mixed up.
    """

    needs = ("validate_groups",)

    def widths(self) -> dict[str, int]:
        return super().widths() | dict.fromkeys(NAMES[1:3], self.heads // self.kv_heads * self.head_dim)


class KvProjectionsOfOneHead(AsManyHeads):
    """k_proj and v_proj have the width of one head, as in multi-query attention, instead of num_kv_heads heads

    All query heads would have to share one key/value head.
    """

    needs = ("validate_groups",)

    def widths(self) -> dict[str, int]:
        return super().widths() | dict.fromkeys(NAMES[1:3], self.head_dim)


class KvProjectionsWithoutHeadDim(GroupParameters):
    """k_proj and v_proj are Linear(d_model, num_kv_heads), without the factor head_dim

    A key/value head has one feature.
    """

    def widths(self) -> dict[str, int]:
        return super().widths() | dict.fromkeys(NAMES[1:3], self.kv_heads)


class AllProjectionsOfOneHead(NarrowParameters):
    """q_proj has the width of one head too, like k_proj and v_proj

    There is one query head instead of num_heads.
    """

    def widths(self) -> dict[str, int]:
        return super().widths() | {"q_proj": self.head_dim}

    def split(self) -> None:
        """All heads have the same queries."""
        self.query = self.query.repeat(1, 1, self.heads)
        super().split()


class KeyBiasMissing(Parameters):
    """k_proj has no bias while the others have one

    No output shows it, as the softmax cancels a bias of the keys; the state_dict does.
    """

    def biased(self) -> tuple[str, ...]:
        return tuple(name for name in super().biased() if name != "k_proj")


class KeyValueBiasesMissing(Parameters):
    """k_proj and v_proj have no bias while q_proj and o_proj have one

    bias=True is for all four layers.
    """

    def biased(self) -> tuple[str, ...]:
        return tuple(name for name in super().biased() if name not in ("k_proj", "v_proj"))


class OutputBiasMissing(Parameters):
    """o_proj has no bias while the others have one

    bias=True is for all four layers.
    """

    def biased(self) -> tuple[str, ...]:
        return tuple(name for name in super().biased() if name != "o_proj")


class OutputBiasAlways(Parameters):
    """o_proj has a bias whatever the argument bias says; the others follow it

    bias=False has no effect on o_proj.
    """

    def biased(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*super().biased(), "o_proj")))


class KeyValueBiasesAlways(Parameters):
    """k_proj and v_proj have a bias whatever the argument bias says; the others follow it

    bias=False has no effect on k_proj and v_proj.
    """

    def biased(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*super().biased(), "k_proj", "v_proj")))


class InputBiasesAlways(Parameters):
    """q_proj, k_proj and v_proj have a bias whatever the argument bias says; o_proj follows it

    bias=False has no effect on the three.
    """

    def biased(self) -> tuple[str, ...]:
        return tuple(name for name in NAMES if name != "o_proj" or self.bias)


class InputBiasesMissing(Parameters):
    """o_proj has a bias while q_proj, k_proj and v_proj have none

    bias=True is for all four layers.
    """

    def biased(self) -> tuple[str, ...]:
        return tuple(name for name in super().biased() if name == "o_proj")


class BiasNever(Parameters):
    """the layers have no bias, whatever the argument bias says

    bias=True, the default, has no effect.
    """

    def biased(self) -> tuple[str, ...]:
        return ()


class BiasAlways(Parameters):
    """the layers have a bias, whatever the argument bias says

    bias=False has no effect.
    """

    def biased(self) -> tuple[str, ...]:
        return NAMES


class BiasReversed(Parameters):
    """the layers have a bias when bias is False, and none when it is True

    The argument is read the wrong way round.
    """

    last = True

    def biased(self) -> tuple[str, ...]:
        return () if self.bias else NAMES


class OutputLayerMissing(Parameters):
    """there is no layer o_proj

    The heads never mix.
    """

    def widths(self) -> dict[str, int]:
        return {name: width for name, width in super().widths().items() if name != "o_proj"}

    def project_out(self) -> None:
        """Left out, too."""


class LayersInAList(Parameters):
    """the layers are not registered: they are in a plain list or dict, which nn.Module does not look into

    The state_dict is empty and an optimiser finds no parameters.
    """

    def parameters(self) -> Shapes:
        return {}


class LayersUnderOtherNames(Parameters):
    """the layers have other names than q_proj, k_proj, v_proj and o_proj

    Weights that others have trained cannot be loaded, for they are found by name.
    """

    elsewhere = True

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return any(_renamed(found, wanted) for found, wanted in check.made_and_wanted())


def _renamed(found: Shapes, wanted: Shapes) -> bool:
    return found.keys() != wanted.keys() and sorted(found.values()) == sorted(wanted.values())


class FusedProjection(Parameters):
    """the projections of query, key and value are one layer, as wide as all three

    It computes the same, and weights that others have trained cannot be loaded: the four layers have names.
    """

    elsewhere = True

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return any(_fused(found, wanted) for found, wanted in check.made_and_wanted())


def _fused(found: Shapes, wanted: Shapes) -> bool:
    rows = [sum(shape[0] for name, shape in shapes.items() if len(shape) == 2) for shapes in (found, wanted)]
    matrices = [sum(len(shape) == 2 for shape in shapes.values()) for shapes in (found, wanted)]
    return rows[0] == rows[1] and 1 < matrices[0] < matrices[1] == len(NAMES)


# ------------------------------------------------------------------------------------------- constructor


class DivisibilityUnchecked(Mistake, Projected):
    """nothing is raised when num_heads does not divide d_model

    The error comes later and says less, or never comes.
    """

    see = "mha#Split-and-merge"

    def validate(self) -> None:
        """Left out."""


class GroupsUnchecked(Mistake, Grouped):
    """nothing is raised when num_kv_heads does not divide num_heads

    The error comes later and says less, or never comes.
    """

    see = "gqa#Break-it"

    def validate_groups(self) -> None:
        """Left out."""


class AssertInsteadOfError(Mistake, Projected):
    """the sizes are checked with assert, which raises AssertionError instead of ValueError

    python -O takes the check away.
    """

    see = "mha#Split-and-merge"

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return check.raised() == "AssertionError" and check.should_raise() == "ValueError"


# ------------------------------------------------------------------------------------ inputs, gradients, cost


class QueryChangedInPlace(Mistake, Core):
    """query, key or value is changed in place, such as by query /= sqrt(head_dim)

    The result is right once, and the caller's tensor is not what it was.
    """

    see = "sdpa#Inputs"
    needs = ("orient",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return not {"query", "key", "value", "x"}.isdisjoint(check.modified()) or check.changes_a_leaf


class _QueryScaledInPlace(QueryChangedInPlace, Attention):
    needs = ("deliver",)

    def scale(self) -> None:
        super().scale()
        self.query.mul_(self.factor)
        self.factor = 1.0


class _InputScaledInPlace(QueryChangedInPlace, Projected):
    needs = ("feed",)

    def receive(self) -> None:
        super().receive()
        self.query.mul_(self.head_dim**-0.5)

    def scale(self) -> None:
        self.factor = 1.0


class MaskChangedInPlace(Mistake, Core):
    """the mask is changed in place, such as by mask.logical_not_()

    The result is right once, and the caller's mask is not what it was.
    """

    see = "sdpa#Inputs"
    needs = ("orient",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return "mask" in check.modified()


class CacheChangedInPlace(Mistake, CachedLayer):
    """the cache that was handed in is changed in place

    A prefix cannot be continued twice.
    """

    see = "gqa_kv_cache#Break-it"
    needs = ("append",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return "kv_cache" in check.modified()


class GradientCut(Mistake, Core):
    """a tensor is detached, or part of the work is done under no_grad: no gradient gets past it

    The output is right, and what comes before it is never trained.
    """

    see = "sdpa#Inputs"
    needs = ("orient",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return check.gradients_missing()


class AllTokensProjected(Mistake, CachedLayer):
    """the keys and values of all tokens are projected at each step instead of those of the new tokens

    The output is right, and a step costs as much as the sequence is long.
    """

    see = "gqa_kv_cache#Cost"
    needs = ("append",)

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return any(_all_projected(call.made, call.arguments, call.flops) for call in check.calls() if call.flops)


def _all_projected(made: dict[str, int], given: dict[str, object], flops: int) -> bool:
    cache = given.get("kv_cache")
    if not isinstance(cache, tuple) or not isinstance(cache[0], Tensor):
        return False
    past, D = cache[0].size(2), made["d_model"]
    narrow, S = made["num_kv_heads"] * (D // made["num_heads"]), past + 1

    def cost(projected: int, queries: int) -> int:
        return 4 * queries * D * D + 4 * projected * D * narrow + 4 * queries * S * D

    return flops in (cost(S, 1), cost(S, S))
