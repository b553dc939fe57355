"""Mistakes in the layers that are made, and in what the constructor checks."""

from __future__ import annotations

from grading.diagnosis.mistake import Mistake
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from grading.diagnosis.transcript import Shapes
from katas.mla.program import LatentLayer


class Made(Mistake, LatentLayer):
    see = "mla#Parameters"


class RopeKeyPerHead(Made):
    """kv_a_proj makes a rope key for each head, R + H * Er features, instead of one for all heads

    The cache grows by (H - 1) * Er a token, which is most of what the latent saves.
    """

    def shapes(self) -> Shapes:
        return super().shapes() | {"kv_a_proj.weight": (self.latent_dim + self.heads * self.rope_dim, self.d_model)}


class RopeQueryForAllHeads(Made):
    """q_proj makes one rope part for all heads, H * E + Er features, instead of one for each head

    One rope key for all heads is enough, one rope query is not: heads could not look at different distances.
    """

    def shapes(self) -> Shapes:
        return super().shapes() | {"q_proj.weight": (self.heads * self.head_dim + self.rope_dim, self.d_model)}


class UpWithRope(Made):
    """kv_b_proj makes H * (2E + Er) features, or H * (E + Er): as if the rope part were made of the latent, too

    The rope key comes from x, past the latent.
    """

    def shapes(self) -> Shapes:
        rows = self.heads * (2 * self.head_dim + self.rope_dim)
        return super().shapes() | {"kv_b_proj.weight": (rows, self.latent_dim)}


class _ValuesAsWideAsKeys(UpWithRope):
    def shapes(self) -> Shapes:
        rows = self.heads * 2 * (self.head_dim + self.rope_dim)
        return super(UpWithRope, self).shapes() | {"kv_b_proj.weight": (rows, self.latent_dim)}


class OutputLayerOfDModel(Made):
    """o_proj is Linear(d_model, d_model), as where the heads together are as wide as the model

    Here H * E and d_model are two numbers.
    """

    def shapes(self) -> Shapes:
        return super().shapes() | {"o_proj.weight": (self.d_model, self.d_model)}


class LatentBiases(Made):
    """the layers have biases, as nn.Linear has where nothing is said

    The contract has none.
    """

    def biases(self) -> bool:
        return True


class LatentNormAdded(Made):
    """there is a norm for the latent with parameters of its own, as DeepSeek's models have

    There is none in this kata.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return any(_more_vectors(found, wanted) for found, wanted in check.made_and_wanted())


def _more_vectors(found: Shapes, wanted: Shapes) -> bool:
    """The right matrices, and vectors that belong to none of them."""
    added = {name for name in found if name not in wanted}
    biases = {f"{name.removesuffix('weight')}bias" for name in wanted}
    return wanted.items() <= found.items() and bool(added - biases) and all(len(found[name]) == 1 for name in added)


class LatentLayersRenamed(Made):
    """the layers have other names than q_proj, kv_a_proj, kv_b_proj and o_proj

    Weights that others have trained cannot be loaded, for they are found by name.
    """

    elsewhere = True

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        pairs = check.made_and_wanted()
        return any(found.keys() != wanted.keys() and _as_wide(found) == _as_wide(wanted) for found, wanted in pairs)


def _as_wide(shapes: Shapes) -> list[tuple[int, ...]]:
    return sorted(shapes.values())


class LatentLayersDivided(Made):
    """a layer is made as two, such as one for keys and one for values, or one for the latent and one for the rope key

    It computes the same, and weights that others have trained cannot be loaded.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        pairs = [[_sizes(shapes) for shapes in pair] for pair in check.made_and_wanted()]
        return any(len(found) > len(wanted) and sum(found) == sum(wanted) for found, wanted in pairs)


def _sizes(shapes: Shapes) -> list[int]:
    """Of the matrices."""
    return [shape[0] * shape[1] for shape in shapes.values() if len(shape) == 2]


class OddRopeDimUnchecked(Made):
    """nothing is raised where rope_dim is odd, and its features cannot be rotated in pairs

    The error comes later and says less.
    """

    def validate_rope(self) -> None:
        """Left out."""


class AssertOnOddRopeDim(Made):
    """an odd rope_dim is refused with assert, which raises AssertionError instead of ValueError

    python -O takes the check away.
    """

    @staticmethod
    def shows(check: Check, right: type[Program]) -> bool:
        return check.raised() == "AssertionError" and check.should_raise() == "ValueError"


class DivisibilityDemanded(Made):
    """the constructor refuses a d_model that num_heads does not divide, or a head_dim that is odd

    The heads have a width of their own, head_dim, and only rope_dim has to be even.
    """

    def admit(self) -> None:
        if self.d_model % self.heads:
            raise ValueError("d_model must be divisible by num_heads")


class _HeadDimToo(DivisibilityDemanded):
    def admit(self) -> None:
        if self.head_dim % 2:
            raise ValueError("head_dim must be even")
