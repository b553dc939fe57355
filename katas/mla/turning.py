"""Mistakes in what is rotated, and by which positions. How a pair is turned goes wrong as in the kata rope."""

import torch
from torch import Tensor

from grading.diagnosis.mistake import Mistake
from katas.mla.program import LatentLayer
from katas.rope.program import apart, halves


class Placed(Mistake, LatentLayer):
    see = "mla#Rope-and-the-latent"


class Positions(Mistake, LatentLayer):
    see = "mla#Positions"


# ------------------------------------------------------------------------------------- what is rotated


class LatentRotated(Placed):
    """the latent is rotated by its position as the rope key is

    Values turn with the position of their token, and no weight of the queries can take that back.
    """

    def turn_key(self) -> None:
        super().turn_key()
        self.latent = self.rotated(self.latent, self.where)


class _WithTheRopeKey(LatentRotated):
    def turn_key(self) -> None:
        both = self.rotated(torch.cat([self.latent, self.rope_key], dim=-1), self.where)
        self.latent, self.rope_key = both.split([self.latent_dim, self.rope_dim], dim=-1)  # type: ignore[no-untyped-call]


class _AndNoRopeKey(LatentRotated):
    def turn_key(self) -> None:
        self.latent = self.rotated(self.latent, self.where)


class PlainPartRotatedToo(Placed):
    """the plain parts of queries and keys are rotated, too, or both parts as one vector of E + Er features

    Where a rotation stands between a query and kv_b_proj, nothing can be absorbed.
    """

    def turn_query(self) -> None:
        super().turn_query()
        self.plain = self.rotated(self.plain, self.where)

    def assemble(self) -> None:
        self.key = self.rotated(self.key, torch.arange(self.key.size(2)))
        super().assemble()


class _AsOneVector(PlainPartRotatedToo):
    def turn_query(self) -> None:
        """When it is assembled."""

    def turn_key(self) -> None:
        """When it is assembled."""

    def assemble(self) -> None:
        super(PlainPartRotatedToo, self).assemble()
        self.query = self.rotated(self.query, self.where)
        self.key = self.rotated(self.key, torch.arange(self.key.size(2)))


class RopePartNotRotated(Placed):
    """neither queries nor rope keys are rotated

    The rope part is plain, too: the layer cannot tell in which order tokens come.
    """

    def turn_query(self) -> None:
        """Left out."""

    def turn_key(self) -> None:
        """Left out."""


class RopeQueryNotRotated(Placed):
    """the rope keys are rotated and the queries are not

    Scores depend on the position of the key alone, and not on how far away it is.
    """

    def turn_query(self) -> None:
        """Left out."""


class RopeKeyNotRotated(Placed):
    """the queries are rotated and the rope keys are not

    Scores depend on the position of the query alone, and not on how far away the key is.
    """

    def turn_key(self) -> None:
        """Left out."""


class RopeKeyRotatedWhenRead(Placed):
    """the cache holds rope keys that are not rotated, and all of them are rotated each time that they are read

    The output of a sequence is right. Nobody else can use the cache, and a step works on all tokens.
    """

    def turn_key(self) -> None:
        """When it is read."""

    def reread(self) -> None:
        self.rope_key = self.rotated(self.rope_key, torch.arange(self.rope_key.size(1)))


class CachedRopeKeyRotatedAgain(Placed):
    """rope keys of the cache, which are rotated already, are rotated again when they are read

    The older a token is, the more often it was turned.
    """

    def reread(self) -> None:
        old, new = self.rope_key[:, : self.begin], self.rope_key[:, self.begin :]
        self.rope_key = torch.cat([self.rotated(old, torch.arange(self.begin)), new], dim=1)


class _TheNewOnesToo(CachedRopeKeyRotatedAgain):
    def reread(self) -> None:
        self.rope_key = self.rotated(self.rope_key, torch.arange(self.rope_key.size(1)))


class _TheOldOnesHandedOut(CachedRopeKeyRotatedAgain):
    def join(self) -> None:
        super().join()
        super().reread()

    def reread(self) -> None:
        """It is done."""


class _AndHandedOut(CachedRopeKeyRotatedAgain):
    def turn_key(self) -> None:
        """When it is joined."""

    def join(self) -> None:
        super().join()
        self.rope_key = self.rotated(self.rope_key, torch.arange(self.rope_key.size(1)))

    def reread(self) -> None:
        """It is done."""


class RopeHeadsAsPositions(Placed):
    """the rope parts of the queries are rotated while they are (B, L, H, Er): heads are taken for positions

    All tokens are turned alike, and each head by another angle.
    """

    def turn_query(self) -> None:
        places = torch.arange(self.begin, self.begin + self.heads)
        self.rope = self.rotated(self.rope.transpose(1, 2), places).transpose(1, 2)


class RopePairsOfNeighbours(Placed):
    """features 2i and 2i + 1 of the rope parts are rotated together, as in DeepSeek's code, instead of i and i + Er/2

    Consistent in itself, and unable to use weights that were trained with the other pairs.
    """

    def choose_layout(self) -> None:
        self.interleaved = True


class _AndComeOutAsHalves(RopePairsOfNeighbours):
    def put_back(self) -> None:
        self.turned = halves(*apart(self.turned, True))


class Exponents(Placed):
    """The powers of the base, by pair."""

    grouping = True

    def find_exponents(self) -> None:
        self.exponent = self._exponents(torch.arange(self.width // 2).to(self.work))

    def _exponents(self, i: Tensor) -> Tensor:
        raise NotImplementedError


class RopeExponentHalved(Exponents):
    """pair i turns by base^(-i / Er) a position instead of base^(-2i / Er)

    Right for one pair; slow pairs turn too fast.
    """

    def _exponents(self, i: Tensor) -> Tensor:
        return i / self.width


class RopeExponentDoubled(Exponents):
    """pair i turns by base^(-4i / Er) a position instead of base^(-2i / Er): 2i over Er/2

    Right for one pair; pairs turn too slowly.
    """

    def _exponents(self, i: Tensor) -> Tensor:
        return 4 * i / self.width


class RopeExponentOfHeadDim(Exponents):
    """the exponents are -2i / E, or -2i / (E + Er), with another width than that of what is rotated, Er

    Right where that is as wide.
    """

    def _exponents(self, i: Tensor) -> Tensor:
        return 2 * i / self.head_dim


class _OfTheWholeHead(RopeExponentOfHeadDim):
    def _exponents(self, i: Tensor) -> Tensor:
        return 2 * i / (self.head_dim + self.rope_dim)


class RopeAnglesInFloat32(Placed):
    """the angles are float32 although x is float64

    Seven digits are right.
    """

    def find_angles(self) -> None:
        self._few(1.0 / self.base ** self.exponent.float())

    def _few(self, frequency: Tensor) -> None:
        self.angle = (self.place.float().unsqueeze(-1) * frequency).to(self.work)


class _NegativePowers(RopeAnglesInFloat32):
    def find_angles(self) -> None:
        self._few(self.base ** -self.exponent.float())


class _CosinesToo(RopeAnglesInFloat32):
    def turn(self) -> None:
        angle = self.angle.float()
        self.turned = self.x * angle.cos() + self.partner * angle.sin()


class _CosinesOfNegativePowers(_CosinesToo, _NegativePowers):
    pass


# ------------------------------------------------------------------------------------------- positions


class LatentPositionsFromZero(Positions):
    """the new tokens get the positions 0, 1, ... at every call, whatever is in the cache

    The first call is right; after it tokens share positions.
    """

    def locate(self) -> None:
        self.where = torch.arange(self.new)


class LatentPositionsOneTooMany(Positions):
    """the positions begin at P + 1 instead of P

    The difference of two positions is right, so the output is; the rope keys in the cache are not.
    """

    def locate(self) -> None:
        self.where = torch.arange(self.new) + self.begin + 1


class LatentPositionsOfTheWhole(Positions):
    """the positions begin at S, the length with the new tokens, instead of P

    The length was read after the new tokens had been counted.
    """

    def locate(self) -> None:
        self.where = torch.arange(self.new) + self.begin + self.new


class PastLengthFromFeatures(Positions):
    """the length of the past is read from the features of the cache, dimension 2, instead of its tokens, dimension 1

    That is where a cache (B, K, S, E) has its tokens. Right where as many tokens are cached as a latent has features.
    """

    def count(self) -> None:
        super().count()
        self.begin = 0 if self.past is None else self.past[0].size(2)


class _FromTheRopeKey(PastLengthFromFeatures):
    def count(self) -> None:
        super(PastLengthFromFeatures, self).count()
        self.begin = 0 if self.past is None else self.past[1].size(2)


class _InTheMaskToo(PastLengthFromFeatures):
    def align_causal(self) -> None:
        self.mask = torch.ones(self.scores.shape[-2:], dtype=torch.bool).tril(self.begin)


class _OfTheRopeKeyInTheMaskToo(_FromTheRopeKey, _InTheMaskToo):
    pass
