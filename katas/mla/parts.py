"""Mistakes in what is split, in what the parts meet, and in the scale of the scores."""

import math

import torch
from torch.nn import functional

from grading.diagnosis.mistake import Mistake
from katas.mla.program import LatentLayer


class Scale(Mistake, LatentLayer):
    see = "mla#Scale"


class Parts(Mistake, LatentLayer):
    see = "mla#Two-parts"


# ---------------------------------------------------------------------------------------------- scale


class LatentScaleOfHeadDim(Scale):
    """the scores are scaled by 1/sqrt(head_dim), without the features of the rope part

    The scores are too large: the softmax is too sharp.
    """

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.head_dim)


class LatentScaleOfLatentDim(Scale):
    """the scores are scaled by the width of what is cached, latent_dim, instead of that of what is compared

    The absorbed form compares vectors as wide as a latent; their scores are those of vectors of head_dim.
    """

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.latent_dim)


class _AndRope(LatentScaleOfLatentDim):
    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.latent_dim + self.rope_dim)


class LatentScaleOfDModel(Scale):
    """the scores are scaled by the width of the model, or of all heads together, instead of that of one head

    The softmax is too flat.
    """

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.d_model)


class _OfAllHeads(LatentScaleOfDModel):
    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.heads * (self.head_dim + self.rope_dim))


class _OfAHeadOfTheModel(LatentScaleOfDModel):
    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.d_model // self.heads)


class LatentScaleMissing(Scale):
    """the scores are not scaled by 1/sqrt(head_dim + rope_dim)

    The softmax is too sharp, the more so the wider the heads are.
    """

    def scale(self) -> None:
        self.factor = 1.0


class LatentScaleWithoutRoot(Scale):
    """the scores are divided by head_dim + rope_dim instead of by its square root

    The softmax is too flat.
    """

    def scale(self) -> None:
        self.factor = 1.0 / (self.head_dim + self.rope_dim)


class LatentScaleFourthRoot(Scale):
    """the scores are scaled by (head_dim + rope_dim) ** -0.25 once, on the queries or on the keys alone

    The softmax is too sharp: half of the scale is missing.
    """

    def scale(self) -> None:
        self.factor = (self.head_dim + self.rope_dim) ** -0.25


class LatentScaleByParts(Scale):
    """each part has a scale of its own, 1/sqrt(head_dim) and 1/sqrt(rope_dim), instead of one for the sum

    Both parts count too much, and the narrower one the more.
    """

    def assemble(self) -> None:
        self.plain, self.rope = self.plain / math.sqrt(self.head_dim), self.rope / math.sqrt(self.rope_dim)
        super().assemble()

    def scale(self) -> None:
        self.factor = 1.0


class _OnlyThePlainPart(LatentScaleByParts):
    def assemble(self) -> None:
        self.plain = self.plain / math.sqrt(self.head_dim)
        super(LatentScaleByParts, self).assemble()


# ---------------------------------------------------------------------------------------------- parts


class LatentAndRopeKeyExchanged(Parts):
    """what kv_a_proj gives is split with the rope key first and the latent after it, instead of the latent first

    Trains, and cannot read weights that others have trained.
    """

    def part_down(self) -> None:
        self.rope_key, self.latent = self.down.split([self.rope_dim, self.latent_dim], dim=-1)  # type: ignore[no-untyped-call]


class QueryPartsExchanged(Parts):
    """a query head is split with the rope part first and the plain part after it, instead of the plain part first

    Trains, and cannot read weights that others have trained.
    """

    def part_query(self) -> None:
        self.rope, self.plain = self.query.split([self.rope_dim, self.head_dim], dim=-1)  # type: ignore[no-untyped-call]


class UpPartsExchanged(Parts):
    """of what kv_b_proj gives to a head, the first half is taken for the value and the second for the key

    Trains, and cannot read weights that others have trained.
    """

    def part_up(self) -> None:
        super().part_up()
        self.key, self.value = self.value, self.key


class UpKeysAsValues(Parts):
    """the plain keys are averaged in the place of the values

    Half of what kv_b_proj gives is not used.
    """

    def part_up(self) -> None:
        super().part_up()
        self.value = self.key


class QuerySplitWithoutTranspose(Parts):
    """the queries are split into heads by view(B, H, L, E + Er) alone, without a transpose of heads and tokens

    A head is a stretch of tokens: features of different tokens are mixed. Right for one token.
    """

    def split(self) -> None:
        self.query = self.query.reshape(self.query.size(0), self.heads, self.new, -1)


class QueryPartsOfAllHeads(Parts):
    """q_proj's output is split into the plain parts of all heads and then their rope parts, instead of head by head

    Right for one head; trains, and cannot read weights that others have trained.
    """

    def part_query(self) -> None:
        whole = self.query.transpose(1, 2).flatten(2)
        plain, rope = whole.split([self.heads * self.head_dim, self.heads * self.rope_dim], dim=-1)  # type: ignore[no-untyped-call]
        self.plain, self.rope = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (plain, rope))


class UpPartsOfAllHeads(Parts):
    """kv_b_proj's output is split into the keys of all heads and then the values of all heads, instead of head by head

    Right for one head; trains, and cannot read weights that others have trained.
    """

    def part_up(self) -> None:
        halves = self.up.flatten(2).chunk(2, dim=-1)
        self.key, self.value = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in halves)  # type: ignore[no-untyped-call]


class UpWeightReshaped(Parts):
    """kv_b_proj's weight is read as (R, H, 2E) by a view, without a transpose: it is (H * 2E, R)

    Its rows and columns are mixed, and the shapes fit.
    """

    def raise_up(self) -> None:
        weight = self.layers["kv_b_proj.weight"].reshape(self.latent_dim, self.heads, -1)
        self.up = torch.einsum("bsr,rhe->bshe", self.latent, weight)


class _HeadsAfterTheLatent(UpWeightReshaped):
    def raise_up(self) -> None:
        weight = self.layers["kv_b_proj.weight"].reshape(self.heads, self.latent_dim, -1)
        self.up = torch.einsum("bsr,hre->bshe", self.latent, weight)


class RopePartLeftOut(Parts):
    """the rope parts are not compared: the scores are those of the plain parts alone

    Order has no effect but through the mask.
    """

    def assemble(self) -> None:
        self.query = self.plain


class PlainPartLeftOut(Parts):
    """the plain parts are not compared: the scores are those of the rope parts alone

    All heads see the same keys, and the latents have no effect on the scores.
    """

    def assemble(self) -> None:
        self.query, self.key = self.rope, self.rope_key.unsqueeze(1).expand(-1, self.heads, -1, -1)


class LatentNormalised(Parts):
    """the latent goes through a norm before it is cached or projected up, as kv_a_layernorm does in DeepSeek's models

    There is none in this kata.
    """

    def finish_latent(self) -> None:
        self.latent = functional.rms_norm(self.latent, self.latent.shape[-1:], eps=1e-6)


class _WithoutEpsilon(LatentNormalised):
    def finish_latent(self) -> None:
        self.latent = functional.rms_norm(self.latent, self.latent.shape[-1:])


class _LayerNorm(LatentNormalised):
    def finish_latent(self) -> None:
        self.latent = functional.layer_norm(self.latent, self.latent.shape[-1:])


class _LayerNormWhenRead(LatentNormalised):
    def finish_latent(self) -> None:
        """Not yet."""

    def reread(self) -> None:
        self.latent = functional.layer_norm(self.latent, self.latent.shape[-1:])


class _WhenRead(LatentNormalised):
    def finish_latent(self) -> None:
        """Not yet."""

    def reread(self) -> None:
        self.latent = functional.rms_norm(self.latent, self.latent.shape[-1:], eps=1e-6)
