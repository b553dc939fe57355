"""Grader of Llama's attention with a static KV cache.

Where a check names no sizes, they are all different, so that an axis that is taken for another shows. The slots that
are not written hold random numbers: NaN in their place has a check of its own.
"""

import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F

from grading.candidate.pending import on_arrival
from grading.examination.checks import (
    close,
    close_each,
    holds,
    in_place,
    kept,
    numbers,
    parameters,
    precise,
    raises,
    shaped,
    typed,
)
from katas.attention.layer_rules import HALF, named, short
from katas.attention.oracle import layer_weights, plain_weights, project, split

D, H, K, E = 24, 6, 2, 4
BASE = 10000.0


def rotated(x, start, base=BASE):
    """Half pairs as complex numbers, turned by their positions."""
    length, half = x.size(-2), x.size(-1) // 2
    angles = torch.outer(torch.arange(start, start + length).double(), base ** (-torch.arange(half).double() / half))
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], dim=-1)


@dataclass(frozen=True)
class Made:
    """A layer over there, and what PyTorch's own functions need to do the same."""

    layer: object
    weights: dict
    heads: int
    base: float


def random_layer(learner, draw, d_model=D, num_heads=H, num_kv_heads=K, base=None):
    """A layer with random weights."""
    weights = layer_weights(draw, d_model, num_heads, num_kv_heads, bias=False)
    options = {} if base is None else {"rope_base": base}
    layer = learner.LlamaAttention(d_model, num_heads, num_kv_heads, **options).set(weights)
    return Made(layer, weights, num_heads, base or BASE)


def plain_layer(learner, d_model, num_heads, num_kv_heads, base=BASE, **scales):
    """A layer whose projections copy."""
    weights = plain_weights(d_model, num_heads, num_kv_heads, **scales)
    weights = {name: weight for name, weight in weights.items() if name.endswith("weight")}
    layer = learner.LlamaAttention(d_model, num_heads, num_kv_heads, base).set(weights)
    return Made(layer, weights, num_heads, base)


class Sequence:
    """A cache over there, and what it has to hold."""

    def __init__(self, learner, keys, values, length=0):
        self.keys, self.values, self.length = keys.clone(), values.clone(), length
        self.cache = learner.KVCache(keys, values, length)

    def after(self, x, made):
        """The output for tokens that follow, which are then in here."""
        head_dim = self.keys.size(-1)
        start, end = self.length, self.length + x.size(1)
        query, key = (split(project(x, made.weights, name), head_dim) for name in ("q_proj", "k_proj"))
        query, key = rotated(query, start, made.base), rotated(key, start, made.base)
        self.keys[:, :, start:end] = key
        self.values[:, :, start:end] = split(project(x, made.weights, "v_proj"), head_dim)
        self.length = end
        mask = torch.arange(end) <= torch.arange(start, end)[:, None]
        given = self.keys[:, :, :end], self.values[:, :, :end]
        heads = F.scaled_dot_product_attention(query, *given, attn_mask=mask, enable_gqa=True)
        return project(heads.transpose(1, 2).flatten(2), made.weights, "o_proj")

    def kept(self):
        """The cache over there holds the same."""
        held = {"keys": self.keys.clone(), "values": self.values.clone(), "length": self.length}
        kept(self.cache.look(), held, "cache")

    def goes_on(self, made, x, what="the output"):
        """A call gives the output, and leaves the cache, that it should."""
        close(made.layer.ahead(x, self.cache), self.after(x, made), what)
        self.kept()


def sequence(learner, draw, batch=3, slots=11, length=0, kv_heads=K, head_dim=E):
    """A cache of random numbers."""
    return Sequence(learner, draw(batch, kv_heads, slots, head_dim), draw(batch, kv_heads, slots, head_dim), length)


def empty(learner, slots=5, head_dim=2, kv_heads=1):
    """A cache of zeros, for rules."""
    zeros = torch.zeros(1, kv_heads, slots, head_dim, dtype=torch.float64)
    return Sequence(learner, zeros, zeros)


def row(*values):
    """Tokens (1, L, D) by their features."""
    return torch.tensor(values, dtype=torch.float64)[None]


# ------------------------------------------------------------------------------ parameters, shape and dtype


@pytest.mark.parametrize("kv_heads", [2, 6], ids="num_kv_heads={}".format)
def test_parameters(learner, draw, kv_heads):
    """the parameters are the weights of q_proj, k_proj, v_proj and o_proj, without biases"""
    layer = learner.LlamaAttention(d_model=D, num_heads=H, num_kv_heads=kv_heads)
    wanted = layer_weights(draw, D, H, kv_heads, bias=False)
    parameters(layer.parameters, {name: tuple(weight.shape) for name, weight in wanted.items()}, layer.made)


@pytest.mark.parametrize("sizes", [(3, 5), (3, 1)], ids=named("B", "L"))
def test_output_shape(learner, draw, sizes):
    """forward returns the output (B, L, D), and nothing else"""
    made, given = random_layer(learner, draw), sequence(learner, draw, sizes[0])
    shaped(made.layer.ahead(draw(*sizes, D), given.cache), (*sizes, D))


@pytest.mark.parametrize("dtype", list(HALF)[:2], ids=short)
def test_output_dtype(learner, draw, dtype):
    """the output has the dtype of x"""
    weights = {name: weight.to(dtype) for name, weight in layer_weights(draw, D, H, K, bias=False).items()}
    layer = learner.LlamaAttention(D, H, K).set(weights, dtype)
    keys, values = draw(3, K, 11, E, dtype=dtype), draw(3, K, 11, E, dtype=dtype)
    typed(layer.ahead(draw(3, 5, D, dtype=dtype), learner.KVCache(keys, values, 2)), dtype)


def test_a_new_layer_works_in_float32(learner, draw):
    """a layer as it is made works in float32, PyTorch's default"""
    cache = learner.KVCache(draw(3, K, 11, E).float(), draw(3, K, 11, E).float(), 2)
    typed(learner.LlamaAttention(D, H, K).ahead(draw(3, 5, D).float(), cache), torch.float32)


# -------------------------------------------------------------------------------------- what is written


def test_a_token_alone(learner, draw):
    """a token alone gives its own value, projected out"""
    made, x = random_layer(learner, draw, num_kv_heads=H), draw(3, 1, D)
    given = sequence(learner, draw, kv_heads=H)
    wanted = project(project(x, made.weights, "v_proj"), made.weights, "o_proj")
    close(made.layer.ahead(x, given.cache), wanted)


def test_written_in_place(learner, draw):
    """keys and values are written into the tensors of the cache, in place"""
    made, given = plain_layer(learner, D, H, K, v_proj=0.0), sequence(learner, draw, slots=16, length=3)
    for length in (4, 1):
        made.layer.ahead(torch.zeros(3, length, D).double(), given.cache)
        in_place(given.cache.look(), "cache")


def test_slots(learner):
    """new tokens go into the slots behind those that are written"""
    made, given = plain_layer(learner, 4, 2, 1, q_proj=0.0, k_proj=0.0, v_proj=10.0), empty(learner, slots=6)
    given.cache.assign(length=2)
    made.layer.ahead(row([4.0] * 4, [5.0] * 4), given.cache)
    written = given.cache.look().wait().fields["values"]
    shaped(written, (1, 1, 6, 2), "cache.values")
    message = "the new tokens are not in the slots behind those that are written"
    numbers(written[0, 0, :, 0].tolist(), [0, 0, 40, 50, 0, 0], "slots 0..5, by their values", message)


@pytest.mark.parametrize(("past", "new"), [(0, 3), (2, 1)], ids=["past=0, L=3", "past=2, L=1"])
def test_length_advances(learner, draw, past, new):
    """cache.length counts the new tokens, as an int"""
    made, given = plain_layer(learner, D, H, K, v_proj=0.0), sequence(learner, draw, length=past)
    made.layer.ahead(torch.zeros(3, new, D).double(), given.cache)
    kept(given.cache.look(), {"length": past + new}, "cache")


@pytest.mark.parametrize("past", [0, 4], ids="past={}".format)
def test_other_slots_stay(learner, draw, past):
    """the slots of other tokens, and those that are not written, stay as they are"""
    made, given = plain_layer(learner, D, H, K, v_proj=0.0), sequence(learner, draw, length=past)
    made.layer.ahead(torch.zeros(3, 3, D).double(), given.cache)
    the_same_beside(given.cache.look(), given, past, past + 3)


@on_arrival
def the_same_beside(state, given, start, end):
    """Outside these slots, the cache is as it was."""
    for name, was in (("keys", given.keys), ("values", given.values)):
        now = state.fields[name]
        shaped(now, tuple(was.shape), f"cache.{name}")
        close(now[:, :, :start], was[:, :, :start], f"cache.{name} in the slots that were written before")
        close(now[:, :, end:], was[:, :, end:], f"cache.{name} in the slots behind the new tokens")


@on_arrival
def new_slots(state, name, start, end, wanted, tolerance=5e-6):
    """What a call wrote into a part of the cache."""
    now = state.fields[name]
    holds(
        isinstance(now, torch.Tensor) and now.dim() == 4,
        f"cache.{name} is no tensor (B, K, M, E) any more",
        "(B, K, M, E)",
        str(tuple(getattr(now, "shape", ()))),
    )
    close(now[:, :, start:end], wanted, f"cache.{name} in slots {start} ... {end - 1}", tolerance)


@pytest.mark.parametrize("past", [0, 4], ids="past={}".format)
def test_values_are_not_rotated(learner, draw, past):
    """values are written as they are projected"""
    made = plain_layer(learner, D, H, K, q_proj=0.0, k_proj=0.0)
    given, x = sequence(learner, draw, length=past), draw(3, 3, D)
    made.layer.ahead(x, given.cache)
    new_slots(given.cache.look(), "values", past, past + 3, split(project(x, made.weights, "v_proj"), E))


# ------------------------------------------------------------------------------------------- positions


def test_keys_are_rotated(learner):
    """keys are rotated by their positions, and written rotated"""
    made, given = plain_layer(learner, 2, 1, 1, v_proj=0.0), empty(learner)
    made.layer.ahead(row(*[[1.0, 0.0]] * 4), given.cache)
    angles = torch.arange(4).double()
    new_slots(given.cache.look(), "keys", 0, 4, torch.stack([angles.cos(), angles.sin()], dim=-1)[None, None])


@pytest.mark.parametrize("past", [1, 3], ids="past={}".format)
def test_positions_go_on(learner, past):
    """positions go on from cache.length"""
    made, given = plain_layer(learner, 2, 1, 1, v_proj=0.0), empty(learner)
    given.cache.assign(length=past)
    made.layer.ahead(row(*[[1.0, 0.0]] * 2), given.cache)
    angles = torch.arange(past, past + 2).double()
    new_slots(given.cache.look(), "keys", past, past + 2, torch.stack([angles.cos(), angles.sin()], dim=-1)[None, None])


def test_pairs(learner, draw):
    """feature i of a head is rotated together with feature i + E/2"""
    made, given = plain_layer(learner, 6, 1, 1, base=8.0, v_proj=0.0), empty(learner, head_dim=6)
    x, angles = draw(1, 2, 6), row(1.0, 0.5, 0.25)[0]
    made.layer.ahead(x, given.cache)
    a, b = x[0, 1].chunk(2)
    wanted = torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()])
    new_slots(given.cache.look(), "keys", 1, 2, wanted[None, None, None])


@pytest.mark.parametrize(
    ("head_dim", "base"), [(4, 10000.0), (10, 500.0)], ids=["head_dim=4, rope_base=10000", "head_dim=10, rope_base=500"]
)
def test_angles(learner, head_dim, base):
    """pair i turns by rope_base^(-2i / E) a position"""
    # two heads, so that D is no E; a key of (1, 0) shows the angle of its pair
    made, given = plain_layer(learner, 2 * head_dim, 2, 1, base, v_proj=0.0), empty(learner, head_dim=head_dim)
    x = torch.zeros(1, 2, 2 * head_dim).double()
    x[..., : head_dim // 2] = 1.0
    made.layer.ahead(x, given.cache)
    keys = given.cache.look().wait().fields["keys"]
    shaped(keys, (1, 1, 5, head_dim), "cache.keys")
    a, b = keys[0, 0, 1].chunk(2)
    wanted = [base ** (-2 * i / head_dim) for i in range(head_dim // 2)]
    numbers(
        torch.atan2(b, a).tolist(),
        wanted,
        f"angles of the pairs at position 1, with E = {head_dim}",
        "the pairs of features do not turn by rope_base^(-2i / E)",
    )


@pytest.mark.parametrize("past", [2, 3], ids="past={}".format)
def test_queries_are_rotated(learner, past):
    """queries are rotated by their positions, too"""
    # of the written keys the one in slot 1 has the angle of the new query; the value of slot s is s
    made = plain_layer(learner, 2, 1, 1, q_proj=99.0, k_proj=0.0, v_proj=0.0)
    angles = torch.tensor([0.0, past, 5.0, 5.0])
    keys = torch.stack([angles.cos(), angles.sin()], dim=-1)[None, None].double()
    values = torch.arange(4).double()[None, None, :, None].expand(1, 1, 4, 2)
    output = made.layer(row([1.0, 0.0]), learner.KVCache(keys, values, past))
    shaped(output, (1, 1, 2))
    message = "the new query does not point at the key that has its angle"
    numbers(output[0, 0].tolist(), [1, 1], "slot that the new token reads", message)


def test_written_keys_are_not_rotated_again(learner, draw):
    """a key is rotated once: later calls leave it as it was written"""
    made, given = random_layer(learner, draw), sequence(learner, draw)
    for length in (2, 1, 3):
        given.goes_on(made, draw(3, length, D))


def test_worked_example(learner):
    """the example of the contract: queries are rotated as keys are"""
    made, given = plain_layer(learner, 2, 1, 1), empty(learner, slots=4)
    first, second = made.layer(row([1.0, 0.0], [0.0, 1.0]), given.cache), made.layer(row([1.0, 0.0]), given.cache)
    shaped(first, (1, 2, 2))
    shaped(second, (1, 1, 2))
    found = [number for output in (first, second) for token in output[0].tolist() for number in token]
    weights = [row(-math.sin(1), 1.0), row(math.cos(2), math.sin(1), 1.0)]
    later, last = ((each / math.sqrt(2)).softmax(dim=-1)[0].tolist() for each in weights)
    wanted = [1.0, 0.0, later[0], later[1], last[0] + last[2], last[1]]
    numbers(found, wanted, "outputs of the three tokens", "the outputs of the example are others")


# ----------------------------------------------------------------------------------------- what is seen


@pytest.mark.parametrize("past", [0, 2, 4], ids="past={}".format)
def test_a_token_sees_the_slots_up_to_its_own(learner, past):
    """a new token sees the slots that are written, up to its own"""
    # zero scores, and only slot 0 has a value: its share shows how many slots are seen
    made = plain_layer(learner, 4, 2, 1, q_proj=0.0)
    x, values = torch.zeros(1, 3, 4).double(), torch.zeros(1, 1, 9, 2).double()
    (values if past else x)[..., 0, :] = 1.0
    output = made.layer(x, learner.KVCache(torch.zeros_like(values), values, past))
    shaped(output, (1, 3, 4))
    seen = [1 / share if share else 0.0 for share in output[0, :, 0].tolist()]
    numbers(
        seen,
        [past + 1, past + 2, past + 3],
        f"slots seen by new tokens 0..2 after {past} written ones, of 9 in all",
        "the new tokens do not see the written slots up to their own",
    )


@pytest.mark.parametrize("kv_heads", [2, 3], ids="num_kv_heads={}".format)
def test_each_query_head_reads_its_own_kv_head(learner, kv_heads):
    """each query head reads its own kv head"""
    made, given = plain_layer(learner, 12, 6, kv_heads), empty(learner, kv_heads=kv_heads)
    x = torch.zeros(1, 1, 12).double()
    x[..., : kv_heads * 2] = torch.arange(kv_heads).repeat_interleave(2)
    output = made.layer(x, given.cache)
    shaped(output, (1, 1, 12))
    wanted = [head // (6 // kv_heads) for head in range(6)]
    message = "the output of the query heads is not that of their kv heads"
    numbers(output[0, 0, ::2].tolist(), wanted, "kv head read by query heads 0..5", message)


def test_scale_is_the_root_of_head_dim(learner):
    """the scores are scaled by 1/sqrt(head_dim)"""
    # The written slot has a score of zero; scaled, that of the new token is ln 3: the weights are 1/4 and 3/4.
    # With this base only the first pair of a head turns, and its features are zero.
    shares = []
    for head_dim in (4, 10):
        made, given = plain_layer(learner, 2 * head_dim, 2, 1, base=1e30), empty(learner, head_dim=head_dim)
        given.cache.assign(length=1)
        x = torch.full((2, head_dim), math.sqrt(math.log(3) * math.sqrt(head_dim) / (head_dim - 2))).double()
        x[:, [0, head_dim // 2]] = 0.0
        output = made.layer(x.view(1, 1, -1), given.cache)
        shaped(output, (1, 1, 2 * head_dim))
        shares.append((output[0, 0, 1] / x[0, 1]).item())
    message = "these are not the weights of scores times 1/sqrt(head_dim)"
    numbers(shares, [0.75] * 2, "the new token's weight, with head_dim 4 and 10", message)


# -------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("length", [5, 1], ids="L={}".format)
def test_one_call(learner, draw, length):
    """a call with an empty cache gives PyTorch's numbers"""
    made = random_layer(learner, draw, 48, 6, 2)
    sequence(learner, draw, head_dim=8).goes_on(made, draw(3, length, 48))


@pytest.mark.parametrize("length", [5, 1], ids="L={}".format)
def test_after_written_slots(learner, draw, length):
    """a call after others gives PyTorch's numbers"""
    made = random_layer(learner, draw)
    sequence(learner, draw, 4, 15, 7).goes_on(made, draw(4, length, D))


def test_another_base(learner, draw):
    """rope_base may be another number"""
    made = random_layer(learner, draw, 48, 6, 2, base=500000.0)
    sequence(learner, draw, length=5, head_dim=8).goes_on(made, draw(3, 4, 48))


SIZES = [
    (2, 12, 2, 1),
    (1, 8, 4, 4),
    (2, 6, 1, 1),
    (6, 36, 6, 2),
    (2, 144, 2, 2),
]


@pytest.mark.parametrize("sizes", SIZES, ids=named("B", "D", "H", "K"))
def test_other_layers(learner, draw, sizes):
    """other numbers of heads give PyTorch's numbers, and so do sizes that coincide"""
    batch, d_model, num_heads, kv_heads = sizes
    made = random_layer(learner, draw, d_model, num_heads, kv_heads)
    cases, alike = ((1, 5, 6), (3, 2, 8), (4, 4, 12), (2, 6, 14)), {batch, num_heads, kv_heads, d_model // num_heads}
    length, past, slots = [case for case in cases if alike & {*case}][-1]
    given = sequence(learner, draw, batch, slots, past, kv_heads, d_model // num_heads)
    what = f"the output of {length} tokens after {past}, of {slots} slots"
    given.goes_on(made, draw(batch, length, d_model), what)


# ------------------------------------------------------------------------------------- the same cache again


def test_any_split_into_calls(learner, draw):
    """every split of a sequence into calls gives what one call gives, to the last slot"""
    made, x = random_layer(learner, draw), draw(2, 3, D)
    for chunks in ([1, 1, 1], [1, 2], [2, 1], [3]):
        given = sequence(learner, draw, 2, 3)
        parts = x.split(chunks, dim=1)
        wanted = [given.after(part, made) for part in parts]
        names = [f"the output of call {i} of {len(chunks)}, with chunks of {chunks}" for i in range(1, len(chunks) + 1)]
        close_each(made.layer.several(*[(part, given.cache) for part in parts]), wanted, names)
        given.kept()


def test_several_steps(learner, draw):
    """six steps write into the same memory, and leave what lies behind them"""
    made, given = random_layer(learner, draw), sequence(learner, draw, 2, 9)
    steps = draw(2, 6, D).split(1, dim=1)
    names = [f"the output of step {step}" for step in range(6)]
    outputs = made.layer.several(*[(x, given.cache) for x in steps])
    close_each(outputs, [given.after(x, made) for x in steps], names)
    given.kept()


def test_two_caches_in_turns(learner, draw):
    """one layer may serve two caches in turns"""
    made, one, other = random_layer(learner, draw), sequence(learner, draw, 2, 6), sequence(learner, draw, 3, 9)
    for lengths in ((3, 3), (1, 1), (1, 5)):
        for name, given, length in zip(("first", "second"), (one, other), lengths, strict=True):
            given.goes_on(made, draw(given.keys.size(0), length, D), f"the output for the {name} cache")


def test_two_layers_in_turns(learner, draw):
    """two layers have caches of their own"""
    pairs = [(random_layer(learner, draw), sequence(learner, draw)) for _ in range(2)]
    for length in (3, 1):
        x = draw(3, length, D)
        for made, given in pairs:
            given.goes_on(made, x)


@pytest.mark.parametrize("back", [0, 3, 4], ids="to {}".format)
def test_a_cache_is_used_again(learner, draw, back):
    """a caller who sets cache.length to less goes on from there"""
    made, given = random_layer(learner, draw), sequence(learner, draw)
    given.goes_on(made, draw(3, 6, D))
    given.cache.assign(length=back)
    given.length = back
    given.goes_on(made, draw(3, 2, D), f"the output after the length was set to {back}")


def test_what_stands_in_the_cache_counts(learner, draw):
    """what stands in the cache counts, where a caller has written other keys and values into it too"""
    made, given = random_layer(learner, draw), sequence(learner, draw)
    given.goes_on(made, draw(3, 4, D))
    given.keys, given.values = draw(3, K, 11, E), draw(3, K, 11, E)
    given.cache.assign(keys=given.keys.clone(), values=given.values.clone())
    given.goes_on(made, draw(3, 2, D), "the output after a caller has written into the cache")


def test_a_cache_from_elsewhere(learner, draw):
    """the same layer takes a cache that another has filled, as it is"""
    made = random_layer(learner, draw)
    sequence(learner, draw, length=5).goes_on(made, draw(3, 2, D))
    sequence(learner, draw, 2, 8, 7).goes_on(made, draw(2, 1, D))


@pytest.mark.parametrize("past", [0, 4], ids="past={}".format)
def test_nan_in_unwritten_slots(learner, draw, past):
    """slots that are not written may hold NaN"""
    made, keys, values = random_layer(learner, draw), draw(3, K, 11, E), draw(3, K, 11, E)
    keys[:, :, past:] = values[:, :, past:] = math.nan
    given = Sequence(learner, keys, values, past)
    for length in (3, 1):
        given.goes_on(made, draw(3, length, D))


def test_large_numbers_in_unwritten_slots(learner, draw):
    """what slots that are not written hold does not count, however large"""
    made = random_layer(learner, draw)
    given = Sequence(learner, draw(3, K, 11, E, scale=1e4), draw(3, K, 11, E, scale=1e4))
    for length in (3, 1):
        given.goes_on(made, draw(3, length, D))
    keys, values = draw(3, K, 11, E), draw(3, K, 11, E)
    for row_of_batch, held in enumerate((math.inf, -math.inf, math.nan)):
        keys[row_of_batch, :, 4:] = values[row_of_batch, :, 4:] = held
    given, x = Sequence(learner, keys, values, 4), draw(3, 2, D)
    what = "the output with infinity in slots that are not written"
    close(made.layer.ahead(x, given.cache), given.after(x, made), what)


def test_weights_may_change(learner, draw):
    """the layer's weights may be others in the next call"""
    made, given = random_layer(learner, draw), sequence(learner, draw)
    for _ in range(2):
        weights = layer_weights(draw, D, H, K, bias=False)
        made.layer.set(weights)
        given.goes_on(Made(made.layer, weights, H, BASE), draw(3, 2, D))


# --------------------------------------------------------------------------------------------- the call


def test_arguments_by_keyword(learner, draw):
    """the arguments have the names of the contract"""
    weights, given, x = layer_weights(draw, D, H, K, bias=False), sequence(learner, draw), draw(3, 2, D)
    layer = learner.LlamaAttention(d_model=D, num_heads=H, num_kv_heads=K, rope_base=100.0).set(weights)
    close(layer.ahead(x=x, cache=given.cache), given.after(x, Made(layer, weights, H, 100.0)))


def test_what_is_handed_in_stays_as_it_was(learner, draw):
    """x is left as it was"""
    made, given, x = random_layer(learner, draw), sequence(learner, draw, length=3), draw(3, 2, D)
    _, (after, _), _ = made.layer.echo(x, given.cache)
    holds(torch.equal(x, after), "x was modified in place", "as it was", "other numbers")


def test_a_call_changes_nothing_else(learner, draw):
    """a call leaves the weights, and PyTorch's settings, as they were"""
    made, given = random_layer(learner, draw), sequence(learner, draw, length=3)
    changed = made.layer.changes(draw(3, 2, D), given.cache)
    holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))


def test_training_mode_makes_no_difference(learner, draw):
    """training mode makes no difference: there is no dropout here"""
    made, given = random_layer(learner, draw), sequence(learner, draw, length=3)
    made.layer.set(made.weights, training=True, grad=False)
    given.goes_on(made, draw(3, 2, D))


def test_strides_do_not_matter(learner, draw):
    """a cache with its slots before its heads in memory is written in place too"""
    made = random_layer(learner, draw)
    given = Sequence(learner, draw(3, 11, K, E).transpose(1, 2), draw(3, 11, K, E).transpose(1, 2), 3)
    for length in (3, 1):
        given.goes_on(made, draw(length, 3, D).transpose(0, 1))


# ------------------------------------------------------------------------------------- precision, errors, cost


IN_DTYPES = [(torch.float16, 0), (torch.float16, 7), (torch.bfloat16, 7), (torch.float32, 7)]


@pytest.mark.parametrize(
    ("dtype", "past"), IN_DTYPES, ids=[f"{short(dtype)}, past={past}" for dtype, past in IN_DTYPES]
)
def test_numbers_in_each_dtype(learner, draw, dtype, past):
    """the numbers are right in float16, bfloat16 and float32"""
    weights = {name: weight.to(dtype) for name, weight in layer_weights(draw, D, H, K, bias=False).items()}
    layer = learner.LlamaAttention(D, H, K).set(weights, dtype)
    keys, values = draw(3, K, 11, E, dtype=dtype), draw(3, K, 11, E, dtype=dtype)
    given, cache = Sequence(learner, keys.double(), values.double(), past), learner.KVCache(keys, values, past)
    exact = Made(layer, {name: weight.double() for name, weight in weights.items()}, H, BASE)
    for length in (3, 1):
        start, x = given.length, draw(3, length, D, dtype=dtype)
        close(layer.ahead(x, cache), given.after(x.double(), exact).to(dtype), tolerance=HALF[dtype])
        state, end = cache.look(), given.length
        for name, wanted in (("keys", given.keys), ("values", given.values)):
            new_slots(state, name, start, end, wanted[:, :, start:end].to(dtype), HALF[dtype])


@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_large_scores_are_safe(learner, dtype):
    """scores of 1e4 are safe"""
    # With this base only the first pair of a head turns, and its features are zero. The keys of new tokens are `top`:
    # of the written ones that in slot 3 is larger and that in slot 2 the smallest, with the values 4 and 1.
    top, shift = 118.0, torch.tensor([0.0, -1.0, -2.0, 1.0, 0.0, 0.0, 0.0])
    features = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=dtype)
    for sign, picked in ((1.0, 4.0), (-1.0, 1.0)):
        made = plain_layer(learner, 8, 2, 1, base=1e30, q_proj=sign)
        made.layer.set({name: weight.to(dtype) for name, weight in made.weights.items()}, dtype)
        calls, wanted, what = [], [], []
        for past, length in ((4, 3), (4, 1), (0, 3), (0, 1)):
            keys, values = (each.to(dtype)[None, None, :, None] for each in (top + shift, shift + 3))
            x = (top * features).repeat(2).expand(1, length, 8)
            calls.append((x, learner.KVCache(keys * features, values.repeat(1, 1, 1, 4), past)))
            wanted.append(torch.full_like(x, picked) if past else x)
            what.append(f"the output for scores near {'-' * (sign < 0)}1e4")
        close_each(made.layer.several(*calls), wanted, what)


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_positions_in_the_thousands(learner, draw, dtype):
    """positions in the thousands are told apart in float16, bfloat16 and float32"""
    past = 3001
    weights = {name: weight.to(dtype) for name, weight in layer_weights(draw, 4, 1, 1, bias=False).items()}
    layer, exact = learner.LlamaAttention(4, 1, 1).set(weights, dtype), {n: w.double() for n, w in weights.items()}
    room = torch.zeros(1, 1, 1, 1, dtype=dtype).expand(1, 1, past + 3, 4)
    cache = learner.KVCache(room, room, past)
    tolerance = max(HALF[dtype], 2e-3)  # float32 has angles of 3,000 to a thousandth
    for start, length in ((past, 2), (past + 2, 1)):
        x = draw(1, length, 4, dtype=dtype)
        layer.ahead(x, cache)
        key = split(project(x.double(), exact, "k_proj"), 4)
        new_slots(cache.look(), "keys", start, start + length, rotated(key, start).to(dtype), tolerance)


def test_float64_precision(learner, draw):
    """float64 in, float64 precision out, in the cache too"""
    for worked, what in ((False, "the output"), (True, "the output of a layer that has worked in float32 before")):
        made, given = random_layer(learner, draw, 60, 6, 2), sequence(learner, draw, length=5, head_dim=10)
        if worked:
            room = torch.zeros(1, 2, 5, 10)
            made.layer.set({name: weight.float() for name, weight in made.weights.items()}, torch.float32)
            made.layer.ahead(draw(1, 3, 60).float(), learner.KVCache(room, room, 0))
            made.layer.set(made.weights)
        for length in (4, 1):
            x = draw(3, length, 60)
            output, wanted = made.layer.ahead(x, given.cache), given.after(x, made)
            precise(output, wanted, what)
            precise(given.cache.look().wait().fields["keys"], given.keys, "cache.keys")


@pytest.mark.parametrize("sizes", [(24, 5, 1), (24, 6, 4), (8, 4, 8)], ids=named("d_model", "H", "K"))
def test_heads_must_be_divisible(learner, sizes):
    """ValueError when num_heads does not divide d_model, or num_kv_heads num_heads"""
    call = "LlamaAttention(d_model={}, num_heads={}, num_kv_heads={})".format(*sizes)
    raises("ValueError", lambda: learner.LlamaAttention(*sizes).parameters, call)


@pytest.mark.parametrize("sizes", [(18, 6, 2), (5, 1, 1)], ids=named("d_model", "H", "K"))
def test_head_dim_must_be_even(learner, sizes):
    """ValueError when head_dim is odd"""
    call = "LlamaAttention(d_model={}, num_heads={}, num_kv_heads={})".format(*sizes)
    raises("ValueError", lambda: learner.LlamaAttention(*sizes).parameters, call)


@pytest.mark.parametrize("sizes", [(2, 3, 4), (1, 4, 4), (5, 0, 4)], ids=named("L", "past", "M"))
def test_what_does_not_fit_is_an_error(learner, draw, sizes):
    """ValueError when the cache has no room for the new tokens"""
    new, past, slots = sizes
    made, given = random_layer(learner, draw), sequence(learner, draw, 3, slots, past)
    call = f"forward with L={new} and a cache of {slots} slots, of which {past} are written,"
    raises("ValueError", lambda: made.layer(draw(3, new, D), given.cache), call)


@pytest.mark.parametrize("sizes", [(2, 3, 4), (5, 0, 4)], ids=named("L", "past", "M"))
def test_what_does_not_fit_changes_nothing(learner, draw, sizes):
    """after such an error the cache is as it was, and tokens that fit go on from there"""
    new, past, slots = sizes
    made, given = random_layer(learner, draw), sequence(learner, draw, 3, slots, past)
    raises("ValueError", lambda: made.layer(draw(3, new, D), given.cache), "forward with too many tokens")
    given.kept()
    given.goes_on(made, draw(3, 1, D), "the output of a call that fits")


def test_a_step_does_the_work_of_one_token(learner, draw):
    """a step projects the new tokens alone"""
    past, d_model = 63, 32
    made = random_layer(learner, draw, d_model=d_model, num_heads=4)
    flops = made.layer.flops(draw(1, 1, d_model), sequence(learner, draw, 1, past + 1, past, head_dim=8).cache)
    formula = 4 * d_model * d_model + 4 * d_model * K * 8 + 4 * (past + 1) * d_model
    message, wanted = "a step does the work of many tokens", f"about {formula} FLOPs with {past} slots written"
    holds(flops <= 3 * formula, message, wanted, f"{flops} FLOPs")
