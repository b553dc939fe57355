"""Grader of multi-head latent attention.

Where a check names no sizes, they are all different, so that an axis that is taken for another shows.
"""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F

from grading.candidate.pending import on_arrival
from grading.examination.checks import (
    TOLERANCE,
    close,
    describe,
    holds,
    numbers,
    parameters,
    precise,
    raises,
    shaped,
    typed,
)
from katas.attention.layer_rules import HALF, each, named, short, trains_through_a_cache


@dataclass(frozen=True)
class Sizes:
    """The arguments of a layer."""

    d_model: int = 13
    num_heads: int = 3
    head_dim: int = 4
    rope_dim: int = 6
    latent_dim: int = 14

    def shapes(self):
        """The parameters of a layer."""
        H, E, Er, R = self.num_heads, self.head_dim, self.rope_dim, self.latent_dim
        return {
            "q_proj.weight": (H * (E + Er), self.d_model),
            "kv_a_proj.weight": (R + Er, self.d_model),
            "kv_b_proj.weight": (H * 2 * E, R),
            "o_proj.weight": (self.d_model, H * E),
        }

    def make(self, learner):
        """A layer of the learner's."""
        return learner.LatentAttention(self.d_model, self.num_heads, self.head_dim, self.rope_dim, self.latent_dim)

    def weights(self, draw):
        """Distinct random weights, wide enough that a wrong scale of the scores shows."""
        return {name: draw(*shape, scale=1.5 / shape[1] ** 0.5) for name, shape in self.shapes().items()}

    def random(self, learner, draw):
        """A layer with random weights, and the weights."""
        weights = self.weights(draw)
        return self.make(learner).set(weights), weights

    def plain(self, learner, **given):
        """A layer with these weights, and zeros for the others."""
        shapes = self.shapes()
        weights = {name: torch.zeros(shape).double() for name, shape in shapes.items()}
        weights |= {f"{name}.weight": weight.double() for name, weight in given.items()}
        return self.make(learner).set(weights)

    def cache(self, draw, batch=2, past=5):
        """A cache of random numbers."""
        return draw(batch, past, self.latent_dim), draw(batch, past, self.rope_dim)


SIZES = Sizes()
D, H, E, ER, R = SIZES.d_model, SIZES.num_heads, SIZES.head_dim, SIZES.rope_dim, SIZES.latent_dim


def rotated(x, start):
    """Half pairs as complex numbers, turned by their positions."""
    length, half = x.size(-2), x.size(-1) // 2
    angles = torch.outer(torch.arange(start, start + length).double(), 10000.0 ** (-torch.arange(half).double() / half))
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], dim=-1)


def attend(x, cache, weights, sizes=SIZES):
    """The output and the new cache, expanded, with PyTorch's own attention."""
    wide = sizes.head_dim + sizes.rope_dim
    past = 0 if cache is None else cache[0].size(1)
    query = (x @ weights["q_proj.weight"].T).unflatten(-1, (sizes.num_heads, wide)).transpose(1, 2)
    plain, rope = query[..., : sizes.head_dim], rotated(query[..., sizes.head_dim :], past)
    down = x @ weights["kv_a_proj.weight"].T
    latent, rope_key = down[..., : sizes.latent_dim], rotated(down[..., sizes.latent_dim :], past)
    if cache is not None:
        latent, rope_key = torch.cat([cache[0], latent], dim=1), torch.cat([cache[1], rope_key], dim=1)
    up = (latent @ weights["kv_b_proj.weight"].T).unflatten(-1, (sizes.num_heads, -1)).transpose(1, 2)
    key, value = up[..., : sizes.head_dim], up[..., sizes.head_dim :]
    key = torch.cat([key, rope_key.unsqueeze(1).expand(-1, sizes.num_heads, -1, -1)], dim=-1)
    mask = torch.arange(latent.size(1)) <= torch.arange(x.size(1))[:, None] + past
    heads = F.scaled_dot_product_attention(torch.cat([plain, rope], dim=-1), key, value, attn_mask=mask)
    return heads.transpose(1, 2).flatten(2) @ weights["o_proj.weight"].T, (latent, rope_key)


def unpacked(value):
    """(output, latent, rope key) of what forward returned."""
    pair = isinstance(value, tuple) and len(value) == 2
    holds(pair, "forward has to return (output, cache)", "a tuple of two", describe(value))
    output, cache = value
    pair = isinstance(cache, tuple) and len(cache) == 2
    holds(pair, "the cache has to be (latent, rope_key)", "a tuple of two", describe(cache))
    return output, cache[0], cache[1]


@on_arrival
def all_shaped(value, batch, new, length, sizes=SIZES):
    """Output and cache have the shapes of the contract."""
    output, latent, rope_key = unpacked(value)
    shaped(output, (batch, new, sizes.d_model))
    shaped(latent, (batch, length, sizes.latent_dim), "the latent in the cache")
    shaped(rope_key, (batch, length, sizes.rope_dim), "the rope key in the cache")


@on_arrival
def all_typed(value, dtype):
    """Output and cache have that dtype."""
    for name, tensor in zip(("output", "latent in the cache", "rope key in the cache"), unpacked(value), strict=True):
        typed(tensor, dtype, f"the {name}")


@on_arrival
def output_close(value, wanted, when="", tolerance=TOLERANCE):
    """The output is the wanted one."""
    close(unpacked(value)[0], wanted, f"the output{when}", tolerance)


@on_arrival
def agrees(value, wanted, when="", tolerance=TOLERANCE):
    """Output and cache are the wanted ones."""
    output, latent, rope_key = unpacked(value)
    close(output, wanted[0], f"the output{when}", tolerance)
    close(latent, wanted[1][0], f"the latent in the cache{when}", tolerance)
    close(rope_key, wanted[1][1], f"the rope key in the cache{when}", tolerance)


@on_arrival
def in_a_row(values, wanted, names=()):
    """What calls in a row gave is what is wanted."""
    names = names or [f" of call {i} of {len(wanted)}" for i in range(1, len(wanted) + 1)]
    for got, right, name in zip(values, wanted, names, strict=True):
        agrees(got, right, name)


def row(*values):
    """Tokens (1, L, D) by their features."""
    return torch.tensor(values, dtype=torch.float64)[None]


def eye(rows, columns, first=0):
    """Rows of the identity, from one on."""
    return torch.eye(columns)[first : first + rows]


def compositions(total):
    """All ways to cut a sequence of that length into chunks."""
    for cuts in itertools.product([False, True], repeat=total - 1):
        ends = [i + 1 for i, cut in enumerate(cuts) if cut] + [total]
        yield [end - start for start, end in zip([0, *ends], ends, strict=False)]


# ------------------------------------------------------------------------------ parameters, shape and dtype


@pytest.mark.parametrize(
    "sizes", [SIZES, Sizes(10, 4, 3, 2, 5)], ids=lambda sizes: f"d_model={sizes.d_model}, num_heads={sizes.num_heads}"
)
def test_parameters(learner, sizes):
    """the parameters are the weights of q_proj, kv_a_proj, kv_b_proj and o_proj, without biases"""
    options = {"num_heads": sizes.num_heads, "head_dim": sizes.head_dim, "rope_dim": sizes.rope_dim}
    layer = learner.LatentAttention(d_model=sizes.d_model, latent_dim=sizes.latent_dim, **options)
    parameters(layer.parameters, sizes.shapes(), layer.made)


@pytest.mark.parametrize("sizes", [(2, 5), (3, 1)], ids=named("B", "L"))
def test_output_and_cache(learner, draw, sizes):
    """forward returns the output (B, L, D) and the cache, two tensors: (B, L, R) and (B, L, Er)"""
    layer, _ = SIZES.random(learner, draw)
    all_shaped(layer.ahead(draw(*sizes, D)), *sizes, sizes[1])


@pytest.mark.parametrize("sizes", [(2, 3, 5), (1, 1, 2)], ids=named("B", "L", "past"))
def test_cache_grows(learner, draw, sizes):
    """after a cache of P tokens the one returned holds P + L, and nothing else"""
    batch, new, past = sizes
    layer, _ = SIZES.random(learner, draw)
    all_shaped(layer.ahead(draw(batch, new, D), SIZES.cache(draw, batch, past)), batch, new, past + new)


@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_dtypes(learner, draw, dtype):
    """output and cache have the dtype of x"""
    weights = {name: weight.to(dtype) for name, weight in SIZES.weights(draw).items()}
    layer = SIZES.make(learner).set(weights, dtype)
    all_typed(layer.ahead(draw(2, 5, D, dtype=dtype)), dtype)


def test_a_new_layer_works_in_float32(learner, draw):
    """a layer as it is made works in float32, PyTorch's default"""
    all_typed(SIZES.make(learner).ahead(draw(2, 5, D).float()), torch.float32)


# ------------------------------------------------------------------------------------- latents and values


def test_the_latent_is_cached(learner):
    """the first R features of kv_a_proj are the latent, cached as they are"""
    layer = Sizes(5, 1, 1, 2, 3).plain(learner, kv_a_proj=torch.eye(5))
    _, latent, _ = unpacked(layer(row([1.0, 2.0, 3.0, 4.0, 5.0])))
    shaped(latent, (1, 1, 3), "the latent in the cache")
    message = "the latent in the cache is not the first features of kv_a_proj"
    numbers(latent[0, 0].tolist(), [1, 2, 3], "features of the latent", message)


def test_cache_is_in_the_order_of_the_tokens(learner):
    """cached tokens come first, new ones after them"""
    layer = Sizes(2, 1, 1, 2, 1).plain(learner, kv_a_proj=torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
    past = torch.tensor([1.0, 2.0, 3.0]).double()[None, :, None]
    _, latent, rope_key = unpacked(layer(row([4.0, 0.0], [5.0, 0.0]), (past, past.expand(1, 3, 2))))
    shaped(latent, (1, 5, 1), "the latent in the cache")
    message = "the cache is not in the order of the tokens"
    numbers(latent[0, :, 0].tolist(), [1, 2, 3, 4, 5], "tokens, by their latents", message)
    shaped(rope_key, (1, 5, 2), "the rope key in the cache")
    numbers(rope_key[0, :, 0].tolist(), [1, 2, 3, 0, 0], "tokens, by their rope keys", message)


def test_latents_are_not_rotated(learner, draw):
    """a latent has no position: it is cached as it is projected, wherever the token stands"""
    layer, weights = SIZES.random(learner, draw)
    x, cache = draw(2, 4, D), SIZES.cache(draw)
    _, latent, _ = unpacked(layer(x, cache))
    wanted = torch.cat([cache[0], (x @ weights["kv_a_proj.weight"].T)[..., :R]], dim=1)
    close(latent, wanted, "the latent in the cache")


def test_a_token_alone(learner, draw):
    """a token alone gives its own values: the last E features of each head of kv_b_proj, projected out"""
    layer, weights = SIZES.random(learner, draw)
    x = draw(2, 1, D)
    latent = (x @ weights["kv_a_proj.weight"].T)[..., :R]
    value = (latent @ weights["kv_b_proj.weight"].T).unflatten(-1, (H, 2, E))[:, :, :, 1]
    output_close(layer.ahead(x), value.flatten(2) @ weights["o_proj.weight"].T)


@pytest.mark.parametrize("heads", [2, 3], ids="H={}".format)
def test_each_head_has_its_own_values(learner, heads):
    """head h reads rows 2hE ... of kv_b_proj, and the heads are joined token by token, in order"""
    # two tokens with the same latent 1, so that it does not matter which is seen: feature f of kv_b_proj is f
    sizes = Sizes(2 * heads, heads, 2, 2, 1)
    up, down = torch.arange(4 * heads).double()[:, None], torch.zeros(3, 2 * heads)
    down[0, 0] = 1.0
    layer = sizes.plain(learner, kv_a_proj=down, kv_b_proj=up, o_proj=torch.eye(2 * heads))
    output, _, _ = unpacked(layer(row([1.0] * 2 * heads, [1.0] * 2 * heads)))
    shaped(output, (1, 2, 2 * heads))
    wanted = [4 * head + 2 + feature for head in range(heads) for feature in range(2)]
    message = "the values are not the last E features of each head of kv_b_proj"
    numbers(output[0, 0].tolist(), wanted, "features of kv_b_proj that are the values", message)
    message = "the output of a token is not its heads, one after the other"
    numbers(output[0, 1].tolist(), wanted, "features of token 1", message)


# ------------------------------------------------------------------------------------ which tokens are seen


@pytest.mark.parametrize("past", [0, 2, 4], ids="past={}".format)
def test_a_token_sees_the_past_and_itself(learner, draw, past):
    """a new token sees the past and the new tokens up to itself"""
    # zero scores, and only token 0 has a value: its share shows how many tokens are seen
    given = {"kv_a_proj": eye(3, 3), "kv_b_proj": torch.tensor([[0.0], [1.0]]), "o_proj": torch.ones(3, 1)}
    layer = Sizes(3, 1, 1, 2, 1).plain(learner, **given)
    x, latents = torch.zeros(1, 3, 3).double(), torch.zeros(1, past, 1).double()
    (latents if past else x)[:, 0, 0] = 1.0
    output, _, _ = unpacked(layer(x, (latents, draw(1, past, 2))) if past else layer(x))
    shaped(output, (1, 3, 3))
    seen = [1 / share if share else 0.0 for share in output[0, :, 0].tolist()]
    wanted = [past + 1, past + 2, past + 3]
    meaning = f"tokens seen by new tokens 0..2 after {past} cached ones"
    numbers(seen, wanted, meaning, "the new tokens do not see the past and what came before them")


def test_the_plain_part_comes_first(learner):
    """of each query head the first E features meet the plain key, and the last Er the rope key"""
    # the plain part of both heads is 6 and the rope part 0: the plain key of cached token 1 is the largest, and the
    # rope key of token 0 is
    query, up = torch.zeros(2, 3, 2), torch.tensor([[1.0], [1.0]])
    query[:, 0, 0] = 6.0
    weights = {"q_proj": query.flatten(0, 1), "kv_a_proj": torch.zeros(3, 2), "kv_b_proj": torch.cat([up, up])}
    layer = Sizes(2, 2, 1, 2, 1).plain(learner, **weights, o_proj=torch.eye(2))
    latents = torch.tensor([0.0, 9.0]).double()[None, :, None]
    output, _, _ = unpacked(layer(row([1.0, 0.0]), (latents, row([50.0, 50.0], [0.0, 0.0]))))
    shaped(output, (1, 1, 2))
    message = "the query does not read the token whose plain key is nearest"
    numbers(output[0, 0].tolist(), [9, 9], "value of the token that each head reads", message)


# ------------------------------------------------------------------------------------------- positions


def rope_keys(learner, draw, x, past, rope_dim):
    """The new rope keys of tokens x (1, L, Er), of a layer whose kv_a_proj copies them."""
    layer = Sizes(rope_dim, 1, 1, rope_dim, 1).plain(
        learner, kv_a_proj=torch.cat([torch.zeros(1, rope_dim), torch.eye(rope_dim)])
    )
    cache = draw(1, past, 1), draw(1, past, rope_dim)
    _, _, keys = unpacked(layer(x, cache) if past else layer(x))
    shaped(keys, (1, past + x.size(1), rope_dim), "the rope key in the cache")
    return keys[:, past:]


def test_rope_keys_are_rotated(learner, draw):
    """the rope key is rotated by the position of its token, and cached rotated"""
    keys = rope_keys(learner, draw, row(*[[1.0, 0.0]] * 4), 0, 2)
    angles = torch.arange(4).double()
    close(keys, torch.stack([angles.cos(), angles.sin()], dim=-1)[None], "the rope key in the cache")


@pytest.mark.parametrize("past", [1, 3], ids="past={}".format)
def test_positions_go_on(learner, draw, past):
    """positions go on from the length of the cache"""
    keys = rope_keys(learner, draw, row(*[[1.0, 0.0]] * 2), past, 2)
    angles = torch.arange(past, past + 2).double()
    close(keys, torch.stack([angles.cos(), angles.sin()], dim=-1)[None], "the new rope keys in the cache")


def test_pairs(learner, draw):
    """feature i of the rope key is rotated together with feature i + Er/2"""
    # whatever their angles, rotations leave the length of a pair as it is
    keys = rope_keys(learner, draw, row([1.0, 2.0, 3.0, 0.0, 0.0, 0.0]).expand(1, 2, 6), 0, 6)
    lengths = torch.stack(keys[0, 1].chunk(2)).norm(dim=0)
    message = "other features are rotated together than i and i + Er/2"
    numbers(lengths.tolist(), [1, 2, 3], "lengths of the pairs of a rope key at position 1", message)


@pytest.mark.parametrize("rope_dim", [4, 10], ids="rope_dim={}".format)
def test_angles(learner, draw, rope_dim):
    """pair i turns by 10000^(-2i / Er) a position"""
    # a key of (1, 0) shows the angle of its pair
    x = torch.zeros(1, 2, rope_dim).double()
    x[..., : rope_dim // 2] = 1.0
    a, b = rope_keys(learner, draw, x, 0, rope_dim)[0, 1].chunk(2)
    wanted = [10000 ** (-2 * i / rope_dim) for i in range(rope_dim // 2)]
    message = "the pairs of features do not turn by 10000^(-2i / Er)"
    numbers(torch.atan2(b, a).tolist(), wanted, f"angles of the pairs at position 1, with Er = {rope_dim}", message)


@pytest.mark.parametrize("past", [2, 3], ids="past={}".format)
def test_queries_are_rotated(learner, past):
    """queries are rotated by their positions, and cached rope keys are taken as they are"""
    # of the cached rope keys the one of token 1 has the angle of the new query; the value of token s is s.
    # Rotated again, token 0 is as near as token 1, and token 2 is nearest
    up, down = torch.tensor([[0.0], [1.0]]), torch.zeros(3, 2)
    query = torch.tensor([[0.0, 0.0], [99.0, 0.0], [0.0, 99.0]])
    layer = Sizes(2, 1, 1, 2, 1).plain(learner, q_proj=query, kv_a_proj=down, kv_b_proj=up, o_proj=torch.ones(2, 1))
    angles = torch.tensor([past + 1.0, past, past - 2.0])[:past].double()
    keys = torch.stack([angles.cos(), angles.sin()], dim=-1)[None]
    latents = torch.arange(past).double()[None, :, None]
    output, _, _ = unpacked(layer(row([1.0, 0.0]), (latents, keys)))
    shaped(output, (1, 1, 2))
    message = "the new query does not point at the rope key that has its angle"
    numbers(output[0, 0].tolist(), [1, 1], "token that the new one reads", message)


# ---------------------------------------------------------------------------------------------- scores


@each(("head_dim", "rope_dim"), (1, 6), (2, 8), ids=("head_dim={}".format, "rope_dim={}".format))
def test_scale(learner, head_dim, rope_dim):
    """the scores of both parts are added and scaled by 1/sqrt(head_dim + rope_dim)"""
    # scaled, the cached token is ln 3 above the new one, half of it from each part: the weights are 3/4 and 1/4
    sizes, half = Sizes(1, 1, head_dim, rope_dim, 3), math.log(3) * math.sqrt(head_dim + rope_dim) / 2
    query = torch.zeros(head_dim + rope_dim, 1)
    query[0], query[head_dim] = 1.0, 1.0
    up = torch.zeros(2 * head_dim, 3)
    up[0, 0], up[head_dim, 1] = half, 1.0
    out = torch.zeros(1, head_dim)
    out[0, 0] = 1.0
    down = torch.zeros(3 + rope_dim, 1)
    layer = sizes.plain(learner, q_proj=query, kv_a_proj=down, kv_b_proj=up, o_proj=out)
    key = torch.zeros(1, 1, rope_dim).double()
    # the new token has position 1, and the angle of its first pair is 1
    key[0, 0, 0], key[0, 0, rope_dim // 2] = half * math.cos(1), half * math.sin(1)
    output, _, _ = unpacked(layer(row([1.0]), (row([1.0, 1.0, 0.0]), key)))
    shaped(output, (1, 1, 1))
    message = "this is not the weight of scores times 1/sqrt(head_dim + rope_dim)"
    numbers([output.item()], [0.75], "the cached token's weight", message)


def test_heads_are_rotated_alike(learner, draw):
    """all heads of a token are rotated by its position, and read the same rope key"""
    sizes = Sizes(4, 4, 1, 2, 1)
    query = torch.zeros(4, 3, 4)
    query[:, 1:, :2] = 9.0 * torch.eye(2)
    weights = {"kv_a_proj": eye(3, 4).roll(1, 1), "kv_b_proj": torch.tensor([[0.0], [1.0]] * 4), "o_proj": torch.eye(4)}
    layer = sizes.plain(learner, q_proj=query.flatten(0, 1), **weights)
    cache = draw(1, 3, 1), draw(1, 3, 2)
    x = draw(1, 2, 4)
    output, _, _ = unpacked(layer(x, cache))
    shaped(output, (1, 2, 4))
    alike = bool((output - output[..., :1]).abs().max() < 1e-5)
    holds(alike, "heads with the same weights have other outputs", "the same output from each head", "other numbers")


def test_the_example(learner):
    """the numbers are those of the example"""
    both = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    given = {"q_proj": both, "kv_a_proj": both, "kv_b_proj": torch.tensor([[1.0], [10.0]]), "o_proj": torch.ones(2, 1)}
    layer = Sizes(2, 1, 1, 2, 1).plain(learner, **given)
    output, latent, rope_key = unpacked(layer(row([1.0, 0.0], [2.0, 0.0])))
    shaped(output, (1, 2, 2))
    message = "the outputs of the example are others"
    numbers(rounded(output[0, :, 0]), [10, 19.448], "outputs of the first two tokens", message)
    shaped(rope_key, (1, 2, 2), "the rope key in the cache")
    numbers(rounded(rope_key[0, 1]), [1.081, 1.683], "rope key of token 1", message)
    shaped(latent, (1, 2, 1), "the latent in the cache")
    more, _, _ = unpacked(layer(row([1.0, 0.0]), (latent, rope_key)))
    shaped(more, (1, 1, 2))
    numbers(rounded(more[0, 0]), [15.642, 15.642], "output of the token after them", message)


def rounded(values):
    """Numbers as the example has them."""
    return [round(value, 3) for value in values.tolist()]


# ------------------------------------------------------------------------------------------- equality


@pytest.mark.parametrize("length", [5, 1], ids="L={}".format)
def test_one_pass(learner, draw, length):
    """one pass without a cache gives PyTorch's numbers"""
    layer, weights = SIZES.random(learner, draw)
    x = draw(2, length, D)
    agrees(layer.ahead(x), attend(x, None, weights))


@pytest.mark.parametrize(
    "sizes", [(2, 4, 5), (2, 3, 14), (2, 3, 6), (3, 4, 3), (2, 2, 300), (1, 300, 4)], ids=named("B", "L", "past")
)
def test_after_a_cache(learner, draw, sizes):
    """after a cache, wherever it comes from, the numbers are PyTorch's"""
    batch, new, past = sizes
    layer, weights = SIZES.random(learner, draw)
    x, cache = draw(batch, new, D), SIZES.cache(draw, batch, past)
    agrees(layer.ahead(x, cache), attend(x, cache, weights))


OTHERS = [(8, 1, 4, 2, 6), (6, 2, 3, 4, 3), (4, 4, 4, 4, 4), (5, 3, 8, 2, 16), (24, 12, 5, 8, 9)]


@pytest.mark.parametrize("sizes", OTHERS, ids=named("D", "H", "E", "Er", "R"))
def test_other_sizes(learner, draw, sizes):
    """other sizes give PyTorch's numbers, and so do sizes that coincide"""
    sizes = Sizes(*sizes)
    layer, weights = sizes.random(learner, draw)
    for batch, new, past in ((sizes.num_heads, sizes.head_dim, sizes.rope_dim), (2, 1, sizes.latent_dim)):
        x, cache = draw(batch, new, sizes.d_model), sizes.cache(draw, batch, past)
        what = f" for B={batch}, L={new} after {past} tokens"
        given = (x, cache) if past else (x, None)
        agrees(layer.ahead(*given), attend(*given, weights, sizes), what)


@on_arrival
def decoded(value, chunks, wanted, cache):
    """Outputs of the chunks, joined, and the last cache are those of one pass."""
    outputs, caches = value
    for i, (output, right) in enumerate(zip(outputs, wanted.split(chunks, dim=1), strict=True)):
        close(output, right, f"the output of chunk {i} of {chunks}")
    agrees((outputs[-1], caches[-1]), (wanted[:, -chunks[-1] :], cache), f" after chunks {chunks}")


def test_any_split_into_chunks(learner, draw):
    """every split of a sequence into chunks gives what one pass gives"""
    layer, weights = SIZES.random(learner, draw)
    x = draw(2, 4, D)
    wanted, cache = attend(x, None, weights)
    for chunks in compositions(4):
        steps = [(layer, part, i - 1 if i else None) for i, part in enumerate(x.split(chunks, dim=1))]
        decoded(learner.decode(steps), chunks, wanted, cache)


def test_an_empty_cache(learner, draw):
    """a cache of no tokens is like none"""
    layer, weights = SIZES.random(learner, draw)
    x, cache = draw(2, 3, D), SIZES.cache(draw, 2, 0)
    agrees(layer.ahead(x, cache), attend(x, None, weights))


# ----------------------------------------------------------------------------------------------- calls


def test_a_prefix_is_continued_twice(learner, draw):
    """a prefix may be continued twice, and its cache serves both"""
    layer, weights = SIZES.random(learner, draw)
    prefix, first, second, more = (draw(2, length, D) for length in (3, 2, 2, 1))
    plan = [(prefix, None), (first, 0), (second, 0), (more, 1), (more, 2)]
    outputs, caches = learner.decode([(layer, x, parent) for x, parent in plan]).wait()
    wanted = []
    for i, (x, parent) in enumerate(plan):
        wanted.append(attend(x, None if parent is None else wanted[parent][1], weights))
        agrees((outputs[i], caches[i]), wanted[i], f" of step {i} (continuing: none 0 0 1 2)")


def test_two_sequences_in_turns(learner, draw):
    """two sequences may be decoded in turns by one layer"""
    layer, weights = SIZES.random(learner, draw)
    a, b = draw(2, 6, D), draw(3, 6, D)
    parts = [part for pair in zip(a.split(2, 1), b.split(2, 1), strict=True) for part in pair]
    outputs, _ = learner.decode([(layer, part, i - 2 if i > 1 else None) for i, part in enumerate(parts)]).wait()
    for name, x, ours in (("first", a, outputs[::2]), ("second", b, outputs[1::2])):
        wanted, _ = attend(x, None, weights)
        for i, (output, part) in enumerate(zip(ours, wanted.split(2, 1), strict=True)):
            close(output, part, f"chunk {i} of the {name} sequence")


def test_weights_may_change(learner, draw):
    """the layer's weights may be others in the next call"""
    layer = SIZES.make(learner)
    for _ in range(2):
        weights = SIZES.weights(draw)
        layer.set(weights)
        calls = [(draw(2, 3, D), SIZES.cache(draw)) for _ in range(2)]
        in_a_row(layer.several(*calls), [attend(*call, weights) for call in calls])


def test_arguments_by_keyword(learner, draw):
    """the arguments of forward are named x and cache"""
    layer, weights = SIZES.random(learner, draw)
    x, cache = draw(2, 3, D), SIZES.cache(draw)
    agrees(layer.ahead(x=x, cache=cache), attend(x, cache, weights))


def test_what_is_handed_in_stays_as_it_was(learner, draw):
    """x and the cache handed in are left as they were"""
    layer, _ = SIZES.random(learner, draw)
    x, cache = draw(2, 3, D), SIZES.cache(draw)
    _, (x_after, after), _ = layer.echo(x, cache)
    holds(torch.equal(x, x_after), "x was modified in place", "as it was", "other numbers")
    for name, was, now in zip(("latents", "rope keys"), cache, after, strict=True):
        kept = was.shape == now.shape and torch.equal(was, now)
        holds(kept, f"the {name} handed in were modified in place", "as they were", "others")


def test_a_call_changes_nothing(learner, draw):
    """a call leaves the weights, and PyTorch's settings, as they were"""
    layer, _ = SIZES.random(learner, draw)
    changed = layer.changes(draw(2, 3, D), SIZES.cache(draw))
    holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))


def test_training_mode_makes_no_difference(learner, draw):
    """training mode makes no difference: there is no dropout here"""
    layer, weights = SIZES.random(learner, draw)
    layer.set(weights, training=True, grad=False)
    x, cache = draw(2, 3, D), SIZES.cache(draw)
    agrees(layer.ahead(x, cache), attend(x, cache, weights))


def test_strides_do_not_matter(learner, draw):
    """transposed and expanded inputs are taken as they are"""
    layer, weights = SIZES.random(learner, draw)
    x = draw(3, 2, D).transpose(0, 1)
    cache = draw(4, 2, R).transpose(0, 1), draw(1, 4, 1).expand(2, 4, ER)
    agrees(layer.ahead(x, cache), attend(x, cache, weights))


# ------------------------------------------------------------------------ precision, gradients, errors


CALLS = {"no cache": (4, 0), "cache": (4, 7), "one token after a cache": (1, 7)}


@each(("dtype", "call"), list(HALF)[:3], CALLS, ids=(short, str))
def test_numbers_in_each_dtype(learner, draw, dtype, call):
    """the numbers are right in float16, bfloat16 and float32"""
    weights = {name: weight.to(dtype) for name, weight in SIZES.weights(draw).items()}
    layer = SIZES.make(learner).set(weights, dtype)
    length, past = CALLS[call]
    x, cache = draw(2, length, D, dtype=dtype), tuple(part.to(dtype) for part in SIZES.cache(draw, 2, past))
    exact = {name: weight.double() for name, weight in weights.items()}
    wanted, kept = attend(x.double(), tuple(part.double() for part in cache), exact)
    value = layer.ahead(x, cache) if past else layer.ahead(x)
    agrees(value, (wanted.to(dtype), tuple(part.to(dtype) for part in kept)), tolerance=HALF[dtype])


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_positions_in_the_thousands(learner, draw, dtype):
    """positions in the thousands are told apart in float16, bfloat16 and float32"""
    past, sizes = 3001, Sizes(4, 1, 1, 4, 1)
    down = torch.cat([torch.zeros(1, 4), torch.eye(4)]).to(dtype)
    weights = {name: torch.zeros(shape, dtype=dtype) for name, shape in sizes.shapes().items()}
    layer = sizes.make(learner).set(weights | {"kv_a_proj.weight": down}, dtype)
    room = torch.zeros(1, 1, 1, dtype=dtype)
    for length in (2, 1):
        x = draw(1, length, 4, dtype=dtype)
        _, _, keys = unpacked(layer(x, (room.expand(1, past, 1), room.expand(1, past, 4))))
        shaped(keys, (1, past + length, 4), "the rope key in the cache")
        tolerance = max(HALF[dtype], 2e-3)  # float32 has angles of 3,000 to a thousandth
        close(keys[:, past:], rotated(x.double(), past).to(dtype), "the new rope keys in the cache", tolerance)


def test_large_scores_are_safe(learner, draw):
    """scores of 1e4 are safe in float32 and float64"""
    for dtype in (torch.float32, torch.float64):
        weights = {name: weight.to(dtype) for name, weight in SIZES.weights(draw).items()}
        layer = SIZES.make(learner).set(weights, dtype)
        exact = {name: weight.double() for name, weight in weights.items()}
        x, cache = 30 * draw(2, 5, D, dtype=dtype), tuple(30 * part.to(dtype) for part in SIZES.cache(draw))
        for new, given in ((x, None), (x, cache), (x[:, :1], cache)):
            wanted, _ = attend(new.double(), given and tuple(part.double() for part in given), exact)
            # at scores of 1e4, float32 is off by a thousandth
            output_close(layer.ahead(new, given) if given else layer.ahead(new), wanted.to(dtype), tolerance=1e-2)


def trains(layer, weights, x, cache, cotangent):
    """The gradients of x, of the cache and of the parameters are right."""
    trains_through_a_cache(
        layer, weights, x, cache, cotangent, attend, ("x", "the cached latents", "the cached rope keys")
    )


TRAINED = {"no cache": (4, 0, True), "cache": (4, 5, True), "one token after a cache": (1, 5, True)}
TRAINED["one token after a cache, evaluation mode"] = (1, 5, False)


@pytest.mark.parametrize(("length", "past", "training"), TRAINED.values(), ids=TRAINED)
def test_gradients(learner, draw, length, past, training):
    """the gradients of x, of a cache that is handed in and of the parameters are right"""
    layer, weights = SIZES.random(learner, draw)
    layer.set(weights, training=training)
    trains(layer, weights, draw(2, length, D), SIZES.cache(draw) if past else None, draw(2, length, D))


@on_arrival
def all_precise(value, wanted):
    """Output and cache are as precise as float64 is."""
    output, latent, rope_key = unpacked(value)
    work = "the angles, the root, the softmax"
    precise(output, wanted[0], work=work)
    precise(latent, wanted[1][0], "the latent in the cache", work)
    precise(rope_key, wanted[1][1], "the rope key in the cache", work)


BEFORE = {call: (*sizes, False) for call, sizes in CALLS.items()}
BEFORE |= {f"{call}, after a call in float32": (*CALLS[call], True) for call in list(CALLS)[1:]}


@pytest.mark.parametrize(("length", "past", "used"), BEFORE.values(), ids=BEFORE)
def test_float64_precision(learner, draw, length, past, used):
    """float64 in, float64 precision out, in the cache too"""
    weights = SIZES.weights(draw)
    layer, x, cache = SIZES.make(learner), draw(2, length, D), SIZES.cache(draw, 2, past)
    if used:  # by zeros, which give zeros however precise the work is: the diagnosis compares this call, too
        layer.set(weights, torch.float32)
        all_typed(layer.ahead(torch.zeros(x.shape), tuple(torch.zeros(part.shape) for part in cache)), torch.float32)
    layer.set(weights)
    all_precise(layer.ahead(x, cache) if past else layer.ahead(x), attend(x, cache if past else None, weights))


@pytest.mark.parametrize("rope_dim", [1, 5], ids="rope_dim={}".format)
def test_rope_dim_must_be_even(learner, rope_dim):
    """ValueError when rope_dim is odd"""
    call = f"LatentAttention(d_model=8, num_heads=2, head_dim=4, rope_dim={rope_dim}, latent_dim=6)"
    raises("ValueError", lambda: learner.LatentAttention(8, 2, 4, rope_dim, 6).parameters, call)
