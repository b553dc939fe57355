"""Grader of grouped-query attention with a KV cache.

Where a check names no sizes, they are all different, so that an axis that is taken for another shows.
"""

import itertools
import math

import pytest
import torch

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
from katas.attention.oracle import attend_cached, layer_weights, plain_weights, project, split

SYMBOL = "CachedGroupedQueryAttention"
D, H, K, E = 24, 6, 2, 4


def random_layer(learner, draw, d_model=D, num_heads=H, num_kv_heads=K, bias=True):
    """A layer with random weights, and the weights."""
    weights = layer_weights(draw, d_model, num_heads, num_kv_heads, bias)
    return learner.CachedGroupedQueryAttention(d_model, num_heads, num_kv_heads, bias=bias).set(weights), weights


def unpacked(value):
    """(output, keys, values) of what forward returned."""
    holds(
        isinstance(value, tuple) and len(value) == 2,
        "forward has to return (output, kv_cache)",
        "a tuple of two",
        describe(value),
    )
    output, cache = value
    holds(
        isinstance(cache, tuple) and len(cache) == 2,
        "kv_cache has to be (keys, values)",
        "a tuple of two",
        describe(cache),
    )
    return output, cache[0], cache[1]


@on_arrival
def agrees(value, wanted, when="", tolerance=TOLERANCE):
    """Output and cache are the wanted ones."""
    output, keys, values = unpacked(value)
    close(output, wanted[0], f"the output{when}", tolerance)
    close(keys, wanted[1][0], f"the keys in the cache{when}", tolerance)
    close(values, wanted[1][1], f"the values in the cache{when}", tolerance)


@on_arrival
def in_a_row(values, wanted, names=()):
    """What calls in a row gave is what is wanted."""
    names = names or [f" of call {i} of {len(wanted)}" for i in range(1, len(wanted) + 1)]
    for got, right, name in zip(values, wanted, names, strict=True):
        agrees(got, right, name)


def compositions(total):
    """All ways to cut a sequence of that length into chunks."""
    for cuts in itertools.product([False, True], repeat=total - 1):
        ends = [i + 1 for i, cut in enumerate(cuts) if cut] + [total]
        yield [end - start for start, end in zip([0, *ends], ends, strict=False)]


# ------------------------------------------------------------------------------ parameters, shape and dtype


@pytest.mark.parametrize("options", [{"bias": True}, {"bias": False}, {}], ids=["bias", "no bias", "bias by default"])
def test_parameters(learner, draw, options):
    """the parameters are the weights and biases of q_proj, k_proj, v_proj and o_proj"""
    layer = learner.CachedGroupedQueryAttention(d_model=D, num_heads=H, num_kv_heads=K, **options)
    wanted = layer_weights(draw, D, H, K, options.get("bias", True))
    parameters(layer.parameters, {name: tuple(weight.shape) for name, weight in wanted.items()}, layer.made)


def test_order_of_the_arguments(learner, draw):
    """the arguments of the constructor come in the order of the contract"""
    layer = learner.CachedGroupedQueryAttention(D, H, K, False)
    wanted = layer_weights(draw, D, H, K, bias=False)
    parameters(layer.parameters, {name: tuple(weight.shape) for name, weight in wanted.items()}, layer.made)


@on_arrival
def output_shaped(value, shape):
    """The output has that shape."""
    output, _, _ = unpacked(value)
    shaped(output, shape)


@pytest.mark.parametrize("sizes", [(3, 5), (1, 1), (3, 1), (5, 5)], ids=named("B", "L"))
def test_output_shape(learner, draw, sizes):
    """forward returns the output (B, L, D), and a cache"""
    layer, _ = random_layer(learner, draw)
    output_shaped(layer.ahead(draw(*sizes, D)), (*sizes, D))


@on_arrival
def cache_shaped(value, shape):
    """Keys and values in the cache have that shape."""
    _, keys, values = unpacked(value)
    shaped(keys, shape, "the keys in the cache")
    shaped(values, shape, "the values in the cache")


@pytest.mark.parametrize("kv_heads", [2, 1, 3, 6], ids="num_kv_heads={}".format)
def test_cache_has_the_kv_heads_only(learner, draw, kv_heads):
    """the cache returned holds (B, K, L, E): K heads, not H"""
    layer, _ = random_layer(learner, draw, num_kv_heads=kv_heads)
    cache_shaped(layer.ahead(draw(3, 5, D)), (3, kv_heads, 5, E))


@pytest.mark.parametrize("kv_heads", [2, 1, 3, 6], ids="num_kv_heads={}".format)
def test_cache_grows(learner, draw, kv_heads):
    """the cache returned holds (B, K, past + L, E) after one that holds (B, K, past, E)"""
    layer, _ = random_layer(learner, draw, num_kv_heads=kv_heads)
    cache = (draw(3, kv_heads, 7, E), draw(3, kv_heads, 7, E))
    cache_shaped(layer.ahead(draw(3, 5, D), cache), (3, kv_heads, 12, E))


@on_arrival
def all_typed(value, dtype):
    """Output and cache have that dtype."""
    for name, tensor in zip(("output", "keys in the cache", "values in the cache"), unpacked(value), strict=True):
        typed(tensor, dtype, f"the {name}")


@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_output_dtype(learner, draw, dtype):
    """output and cache have the dtype of x"""
    weights = {name: weight.to(dtype) for name, weight in layer_weights(draw, D, H, K).items()}
    layer = learner.CachedGroupedQueryAttention(D, H, K).set(weights, dtype)
    all_typed(layer.ahead(draw(3, 5, D, dtype=dtype)), dtype)


def test_a_new_layer_works_in_float32(learner, draw):
    """a layer as it is made works in float32, PyTorch's default"""
    all_typed(learner.CachedGroupedQueryAttention(D, H, K).ahead(draw(3, 5, D).float()), torch.float32)


# ------------------------------------------------------------------------------- numbers, without a cache


@on_arrival
def output_close(value, wanted, when=""):
    """The output is the wanted one."""
    output, _, _ = unpacked(value)
    close(output, wanted, f"the output{when}")


@each(("bias", "length"), (True, False), (5, 1), ids=({True: "bias", False: "no bias"}.get, "L={}".format))
def test_one_pass(learner, draw, bias, length):
    """one pass without a cache is causal self-attention, with PyTorch's numbers"""
    layer, weights = random_layer(learner, draw, 48, 6, 2, bias)
    x = draw(4, length, 48)
    output_close(layer.ahead(x), attend_cached(x, None, weights, 6)[0])


def test_cache_holds_the_projected_tokens(learner, draw):
    """the cache holds the projected keys and values of the tokens"""
    layer, weights = random_layer(learner, draw)
    x = draw(3, 5, D)
    _, keys, values = unpacked(layer(x))
    close(keys, split(project(x, weights, "k_proj"), E), "the keys in the cache")
    close(values, split(project(x, weights, "v_proj"), E), "the values in the cache")


def test_cache_is_in_the_order_of_the_tokens(learner, draw):
    """cached tokens come first, new ones after them"""
    layer = learner.CachedGroupedQueryAttention(4, 2, 1).set(plain_weights(4, 2, 1, v_proj=10.0))
    x = torch.tensor([4.0, 5.0]).double()[None, :, None].expand(1, 2, 4)
    past = torch.tensor([1.0, 2.0, 3.0]).double()[None, None, :, None].expand(1, 1, 3, 2)
    _, keys, values = unpacked(layer(x, (past, past * 10)))
    shaped(keys, (1, 1, 5, 2), "the keys in the cache")
    shaped(values, (1, 1, 5, 2), "the values in the cache")
    numbers(
        keys[0, 0, :, 0].tolist(),
        [1, 2, 3, 4, 5],
        "tokens, by their keys",
        "the cache is not in the order of the tokens",
    )
    numbers(
        values[0, 0, :, 0].tolist(),
        [10, 20, 30, 40, 50],
        "tokens, by their values",
        "the cache is not in the order of the tokens",
    )


@pytest.mark.parametrize("past", [0, 2, 4], ids="past={}".format)
def test_a_token_sees_the_past_and_itself(learner, draw, past):
    """a new token sees the past and the new tokens up to itself"""
    # zero scores, and only token 0 has a value: its share shows how many tokens are seen
    weights = plain_weights(4, 2, 1, q_proj=0.0)
    weights["k_proj.bias"] += 1.0
    layer = learner.CachedGroupedQueryAttention(4, 2, 1).set(weights)
    x = torch.zeros(1, 3, 4).double()
    cache = (draw(1, 1, past, 2), torch.zeros(1, 1, past, 2).double())
    (cache[1] if past else x)[:, :, 0] = 1.0
    if not past:
        x = torch.zeros(1, 3, 4).double()
        x[:, 0] = 1.0
    output, _, _ = unpacked(layer(x, cache) if past else layer(x))
    shaped(output, (1, 3, 4))
    seen = [1 / share if share else 0.0 for share in output[0, :, 0].tolist()]
    wanted = [past + 1, past + 2, past + 3]
    numbers(
        seen,
        wanted,
        f"tokens seen by new tokens 0..2 after {past} cached ones",
        "the new tokens do not see the past and what came before them",
    )


@pytest.mark.parametrize("kv_heads", [2, 3], ids="num_kv_heads={}".format)
def test_each_query_head_reads_its_own_kv_head(learner, draw, kv_heads):
    """each query head reads its own kv head"""
    layer = learner.CachedGroupedQueryAttention(12, 6, kv_heads).set(plain_weights(12, 6, kv_heads))
    x = torch.zeros(1, 1, 12).double()
    x[..., : kv_heads * 2] = torch.arange(kv_heads).repeat_interleave(2)
    output, _, _ = unpacked(layer(x))
    shaped(output, (1, 1, 12))
    wanted = [head // (6 // kv_heads) for head in range(6)]
    numbers(
        output[0, 0, ::2].tolist(),
        wanted,
        "kv head read by query heads 0..5",
        "the output of the query heads is not that of their kv heads",
    )


def test_scale_is_the_root_of_head_dim(learner):
    """the scores are scaled by 1/sqrt(head_dim)"""
    # scaled, the new token's own score and the cached one's are ln 3 apart: the weights are 3/4 and 1/4
    shares = []
    for head_dim in (4, 9, 16):
        layer = learner.CachedGroupedQueryAttention(2 * head_dim, 2, 1).set(plain_weights(2 * head_dim, 2, 1))
        entry = math.sqrt(math.log(3) / 2 / math.sqrt(head_dim))
        zeros = torch.zeros(1, 1, 1, head_dim).double()
        output, _, _ = unpacked(layer(torch.full((1, 1, 2 * head_dim), entry).double(), (zeros - entry, zeros)))
        shaped(output, (1, 1, 2 * head_dim))
        shares.append(output[0, 0, 0].item() / entry)
    numbers(
        shares,
        [0.75] * 3,
        "the new token's weight, with head_dim 4, 9 and 16",
        "these are not the weights of scores times 1/sqrt(head_dim)",
    )


# -------------------------------------------------------------------------------------- cache equivalence


SIZES = [
    (2, 12, 2, 1),
    (5, 24, 6, 3),
    (1, 4, 4, 4),
    (2, 12, 3, 1),
    (2, 5, 1, 1),
    (4, 16, 8, 4),
    (6, 36, 6, 2),
    (2, 144, 2, 2),
]


@pytest.mark.parametrize("sizes", SIZES, ids=named("B", "D", "H", "K"))
def test_one_pass_of_other_layers(learner, draw, sizes):
    """one pass is right for other numbers of heads, and where sizes coincide"""
    batch, d_model, num_heads, kv_heads = sizes
    layer, weights = random_layer(learner, draw, d_model, num_heads, kv_heads)
    for length in (2, 3, 4, 6):
        x = draw(batch, length, d_model)
        agrees(layer.ahead(x), attend_cached(x, None, weights, num_heads))


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_after_a_cache(learner, draw, bias):
    """new tokens after a cache attend to it and to each other, causally"""
    layer, weights = random_layer(learner, draw, bias=bias)
    x, cache = draw(3, 5, D), (draw(3, K, 7, E), draw(3, K, 7, E))
    agrees(layer.ahead(x, cache), attend_cached(x, cache, weights, H))


@pytest.mark.parametrize("sizes", SIZES, ids=named("B", "D", "H", "K"))
def test_after_a_cache_in_other_layers(learner, draw, sizes):
    """new tokens after a cache are right for other numbers of heads, and where sizes coincide"""
    batch, d_model, num_heads, kv_heads = sizes
    layer, weights = random_layer(learner, draw, d_model, num_heads, kv_heads)
    head_dim = d_model // num_heads
    for length, past in ((1, 5), (3, 2), (4, 4), (2, 6)):
        x = draw(batch, length, d_model)
        cache = (draw(batch, kv_heads, past, head_dim), draw(batch, kv_heads, past, head_dim))
        agrees(layer.ahead(x, cache), attend_cached(x, cache, weights, num_heads))


def test_any_number_of_new_tokens(learner, draw):
    """any number of new tokens may follow any number of cached ones"""
    layer, weights = random_layer(learner, draw, 8, 2, 1)
    sizes = [(length, past) for length in range(1, 10) for past in (1, 3, 8)]
    calls = [(draw(2, length, 8), (draw(2, 1, past, 4), draw(2, 1, past, 4))) for length, past in sizes]
    wanted = [attend_cached(*call, weights, 2) for call in calls]
    in_a_row(layer.several(*calls), wanted, [f" of {length} new tokens after {past}" for length, past in sizes])


def test_rows_of_zeros_count(learner, draw):
    """a score of 0 is a score: tokens of zeros count, new and cached ones"""
    layer, weights = random_layer(learner, draw, bias=False)
    x, cache = draw(3, 5, D), (draw(3, K, 7, E), draw(3, K, 7, E))
    x[:, 2], cache[0][:, :, 3:5], cache[1][:, :, 4] = 0.0, 0.0, 0.0
    agrees(layer.ahead(x), attend_cached(x, None, weights, H))
    agrees(layer.ahead(x, cache), attend_cached(x, cache, weights, H))


@on_arrival
def decoded(value, chunks, wanted, cache):
    """What each chunk gave, and the cache at the end, are the wanted ones."""
    outputs, caches = value
    for i, (output, part) in enumerate(zip(outputs, wanted.split(chunks, dim=1), strict=True)):
        close(output, part, f"the output of chunk {i} of {chunks}")
    agrees((outputs[-1], caches[-1]), (wanted[:, -chunks[-1] :], cache), f" after chunks {chunks}")


def test_every_split_into_chunks(learner, draw):
    """every split of a sequence into chunks gives what one pass gives"""
    layer, weights = random_layer(learner, draw)
    x = draw(2, 4, D)
    wanted, (keys, values) = attend_cached(x, None, weights, H)
    for chunks in compositions(4):
        steps = [(layer, part, i - 1 if i else None) for i, part in enumerate(x.split(chunks, dim=1))]
        decoded(learner.decode(steps), chunks, wanted, (keys, values))


@pytest.mark.parametrize(
    "sizes",
    [(2, 3, 4), (2, 4, 4), (2, 1, 6), (1, 5, 3), (4, 2, 2), (1, 1, 12), (3, 2, 300)],
    ids=named("B", "L", "past"),
)
def test_any_cache_may_be_handed_in(learner, draw, sizes):
    """a cache that comes from elsewhere is used as it is"""
    batch, length, past = sizes
    layer, weights = random_layer(learner, draw)
    x, cache = draw(batch, length, D), (draw(batch, K, past, E), draw(batch, K, past, E))
    agrees(layer.ahead(x, cache), attend_cached(x, cache, weights, H))


@pytest.mark.parametrize("sizes", [(300, 20), (1, 4500)], ids=named("L", "past"))
def test_a_long_cache(learner, draw, sizes):
    """there may be hundreds of new tokens and thousands of cached ones, and each of them counts"""
    length, past = sizes
    weights = layer_weights(draw, 4, 2, 1)
    layer = learner.CachedGroupedQueryAttention(4, 2, 1).set(weights)
    x, cache = draw(1, length, 4), (draw(1, 1, past, 2), draw(1, 1, past, 2))
    agrees(layer.ahead(x, cache), attend_cached(x, cache, weights, 2))


def test_inputs_and_weights_may_change(learner, draw):
    """the same tensors, and the layer's weights, may hold other numbers in the next call"""
    layer, _ = random_layer(learner, draw)
    for _ in range(2):
        weights = layer_weights(draw, D, H, K)
        layer.set(weights)
        calls = [(draw(2, 3, D), (draw(2, K, 4, E), draw(2, K, 4, E))) for _ in range(2)]
        in_a_row(layer.several(*calls, reuse=True), [attend_cached(*call, weights, H) for call in calls])


def test_an_empty_cache(learner, draw):
    """a cache of no tokens is like none"""
    layer, weights = random_layer(learner, draw)
    x, cache = draw(2, 3, D), (draw(2, K, 0, E), draw(2, K, 0, E))
    agrees(layer.ahead(x, cache), attend_cached(x, None, weights, H))


def test_cache_by_keyword(learner, draw):
    """the arguments of forward are named x and kv_cache"""
    layer, weights = random_layer(learner, draw)
    x, cache = draw(2, 3, D), (draw(2, K, 4, E), draw(2, K, 4, E))
    agrees(layer.ahead(x=x, kv_cache=cache), attend_cached(x, cache, weights, H))


def test_what_is_handed_in_stays_as_it_was(learner, draw):
    """x and the cache handed in are left as they were"""
    layer, _ = random_layer(learner, draw)
    x, cache = draw(2, 3, D), (draw(2, K, 4, E), draw(2, K, 4, E))
    _, (x_after, after), _ = layer.echo(x, cache)
    holds(torch.equal(x, x_after), "x was modified in place", "as it was", "other numbers")
    for name, was, now in zip(("keys", "values"), cache, after, strict=True):
        holds(
            was.shape == now.shape and torch.equal(was, now),
            f"the {name} handed in were modified in place",
            "as they were",
            "others",
        )


def test_a_prefix_is_continued_twice(learner, draw):
    """a prefix may be continued twice, and its cache serves both (beam search)"""
    layer, weights = random_layer(learner, draw)
    prefix, first, second, more, other = (draw(2, length, D) for length in (3, 2, 2, 1, 1))
    plan = [(prefix, None), (first, 0), (second, 0), (more, 1), (other, 1), (more, 2), (second, 1)]
    outputs, caches = learner.decode([(layer, x, parent) for x, parent in plan]).wait()
    wanted = []
    for i, (x, parent) in enumerate(plan):
        wanted.append(attend_cached(x, None if parent is None else wanted[parent][1], weights, H))
        agrees((outputs[i], caches[i]), wanted[i], f" of step {i} (continuing: none 0 0 1 1 2 1)")


def test_two_sequences_in_turns(learner, draw):
    """two sequences may be decoded in turns by one layer"""
    layer, weights = random_layer(learner, draw)
    a, b = draw(2, 6, D), draw(3, 6, D)
    parts = [part for pair in zip(a.split(2, 1), b.split(2, 1), strict=True) for part in pair]
    outputs, _ = learner.decode([(layer, part, i - 2 if i > 1 else None) for i, part in enumerate(parts)]).wait()
    for name, x, ours in (("first", a, outputs[::2]), ("second", b, outputs[1::2])):
        wanted, _ = attend_cached(x, None, weights, H)
        for i, (output, part) in enumerate(zip(ours, wanted.split(2, 1), strict=True)):
            close(output, part, f"chunk {i} of the {name} sequence")


def test_two_layers_in_turns(learner, draw):
    """two layers have caches of their own"""
    (first, weights), (second, others) = random_layer(learner, draw), random_layer(learner, draw)
    first.set(weights, grad=True)  # decoding with gradients recorded is decoding, too
    x = draw(2, 4, D)
    parts = [part for part in x.split(2, 1) for _ in range(2)]
    plan = [(second if i % 2 else first, part, i - 2 if i > 1 else None) for i, part in enumerate(parts)]
    outputs, _ = learner.decode(plan).wait()
    for name, given, ours in (("first", weights, outputs[::2]), ("second", others, outputs[1::2])):
        wanted, _ = attend_cached(x, None, given, H)
        for i, (output, part) in enumerate(zip(ours, wanted.split(2, 1), strict=True)):
            close(output, part, f"chunk {i} of the {name} layer")


def test_a_reordered_cache(learner, draw):
    """a cache may be reordered along the batch"""
    layer, weights = random_layer(learner, draw)
    _, keys, values = unpacked(layer(draw(3, 4, D)))
    shaped(keys, (3, K, 4, E), "the keys in the cache")
    shaped(values, (3, K, 4, E), "the values in the cache")
    cache, x = (keys[[2, 0, 0]], values[[2, 0, 0]]), draw(3, 2, D)
    agrees(layer.ahead(x, cache), attend_cached(x, cache, weights, H))


def test_a_fresh_start_forgets(learner, draw):
    """a call without a cache starts afresh"""
    layer, weights = random_layer(learner, draw)
    for length in (4, 4, 2):
        x = draw(2, length, D)
        agrees(layer.ahead(x), attend_cached(x, None, weights, H))


def test_training_mode_makes_no_difference(learner, draw):
    """training mode makes no difference: there is no dropout here"""
    layer, weights = random_layer(learner, draw)
    layer.set(weights, training=True)
    x, cache = draw(2, 3, D), (draw(2, K, 4, E), draw(2, K, 4, E))
    agrees(layer.ahead(x, cache), attend_cached(x, cache, weights, H))
    agrees(layer.ahead(x), attend_cached(x, None, weights, H))


def test_strides_do_not_matter(learner, draw):
    """transposed and expanded inputs are taken as they are"""
    layer, weights = random_layer(learner, draw)
    x = draw(3, 2, D).transpose(0, 1)
    cache = (draw(2, 4, K, E).transpose(1, 2), draw(1, K, 4, 1).expand(2, K, 4, E))
    agrees(layer.ahead(x, cache), attend_cached(x, cache, weights, H))


def test_a_call_changes_nothing(learner, draw):
    """a call leaves the weights, and PyTorch's settings, as they were"""
    layer, weights = random_layer(learner, draw)
    layer.set(weights, training=True)
    x, cache = draw(3, 5, D), (draw(3, K, 7, E), draw(3, K, 7, E))
    changed = layer.changes(x, cache)
    holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))


def test_the_same_call_twice(learner, draw):
    """the same call twice gives the same numbers"""
    layer, _ = random_layer(learner, draw)
    given = (draw(3, 5, D), (draw(3, K, 7, E), draw(3, K, 7, E)))
    first, second = (unpacked(value)[0] for value in layer.several(given, given).wait())
    shaped(first, (3, 5, D))
    close(second, first, "the second output", tolerance=2e-14)


# --------------------------------------------------------------------------------- half precision, large scores


@each(("dtype", "past"), list(HALF)[:3], (0, 7), ids=(short, {0: "no cache", 7: "cache"}.get))
def test_numbers_in_each_dtype(learner, draw, dtype, past):
    """the numbers are right in float16, bfloat16 and float32"""
    weights = {name: weight.to(dtype) for name, weight in layer_weights(draw, D, H, K).items()}
    layer = learner.CachedGroupedQueryAttention(D, H, K).set(weights, dtype)
    x, cache = draw(3, 5, D, dtype=dtype), (draw(3, K, past, E, dtype=dtype), draw(3, K, past, E, dtype=dtype))
    exact = {name: weight.double() for name, weight in weights.items()}
    wanted, kept = attend_cached(x.double(), (cache[0].double(), cache[1].double()), exact, H)
    value = layer.ahead(x, cache) if past else layer.ahead(x)
    agrees(value, (wanted.to(dtype), tuple(part.to(dtype) for part in kept)), tolerance=HALF[dtype])


LARGE = [*((dtype, 4) for dtype in HALF), *((dtype, 64) for dtype in list(HALF)[:2])]


@pytest.mark.parametrize(("dtype", "head_dim"), LARGE, ids=[f"{short(d)}, head_dim={e}" for d, e in LARGE])
def test_large_scores_are_safe(learner, dtype, head_dim):
    """scores of 1e4 are safe"""
    # with a head_dim of 64 the products pass 65504, float16's largest number; scaled, they are near 1e4
    # and the first of the two new tokens sees none but scores below -1e4, beside a masked one
    top = round(math.sqrt(1.4e4 / math.sqrt(head_dim)))
    for sign, wanted in ((1.0, 4.0), (-1.0, 1.0)):
        weights = plain_weights(2 * head_dim, 2, 1, q_proj=sign)
        layer = learner.CachedGroupedQueryAttention(2 * head_dim, 2, 1)
        layer.set({name: weight.to(dtype) for name, weight in weights.items()}, dtype)
        shift = torch.tensor([0.0, -1.0, -2.0, 1.0])
        cache = tuple(
            row.to(dtype)[None, None, :, None].expand(1, 1, 4, head_dim) for row in (top + shift, shift + 3.0)
        )
        x = torch.full((1, 2, 2 * head_dim), float(top), dtype=dtype)
        for tokens in (x, x[:, :1]):
            said = f" for scores near {'-' * (sign < 0)}1e4"
            output_close(layer.ahead(tokens, cache), torch.full_like(tokens, wanted), said)


def test_large_random_scores_are_safe(learner, draw):
    """scores of 1e4 are safe where a token sees itself alone, or few"""
    layer, weights = random_layer(learner, draw, bias=False)
    x = draw(3, 5, D)
    queries, keys = split(project(x, weights, "q_proj"), E), split(project(x, weights, "k_proj"), E)
    scores = queries @ keys.repeat_interleave(H // K, dim=1).transpose(-2, -1) / 2
    x = x * (1.4e4 / scores.abs().max()).sqrt()  # the first token's only score may be far below zero
    cache = (draw(3, K, 4, E, scale=100.0), draw(3, K, 4, E))
    for given in ((x,), (x, cache)):
        wanted = attend_cached(x, cache if len(given) == 2 else None, weights, H)
        # at scores of 1e4, float32 is off by a thousandth
        agrees(layer.ahead(*given), wanted, tolerance=1e-2)


# -------------------------------------------------------------------------------------------- gradients


def trains(layer, weights, x, cache, cotangent):
    """The gradients of x, of the cache and of the parameters are right."""
    trains_through_a_cache(
        layer,
        weights,
        x,
        cache,
        cotangent,
        lambda *given: attend_cached(*given, H),
        ("x", "the cached keys", "the cached values"),
    )


@each(("training", "length"), (True, False), (5, 1), ids=({True: "training", False: "evaluation"}.get, "L={}".format))
def test_gradients_of_one_pass(learner, draw, training, length):
    """one pass trains: the gradients of x and of the parameters are right"""
    layer, weights = random_layer(learner, draw)
    layer.set(weights, training=training)
    trains(layer, weights, draw(3, length, D), None, draw(3, length, D))


@each(("training", "length"), (True, False), (1, 5), ids=({True: "training", False: "evaluation"}.get, "L={}".format))
def test_gradients_through_a_cache(learner, draw, training, length):
    """gradients flow into a cache that is handed in"""
    layer, weights = random_layer(learner, draw)
    layer.set(weights, training=training)
    trains(layer, weights, draw(3, length, D), (draw(3, K, 7, E), draw(3, K, 7, E)), draw(3, length, D))


def test_gradients_beside_large_masked_scores(learner, draw):
    """the gradients are right where a later token has a score of 1e4"""
    layer, weights = random_layer(learner, draw)
    layer.set(weights, training=True)
    x = draw(3, 5, D)
    x[:, -1] *= 3e3
    cotangent = draw(3, 5, D)
    cotangent[:, -1] = 0.0  # the last token itself is too large to be compared
    trains(layer, weights, x, None, cotangent)


# ----------------------------------------------------------------------------------- precision, errors, cost


@on_arrival
def all_precise(value, wanted):
    """Output and cache are as precise as float64 is."""
    output, keys, values = unpacked(value)
    precise(output, wanted[0])
    precise(keys, wanted[1][0], "the keys in the cache")
    precise(values, wanted[1][1], "the values in the cache")


def test_float64_precision(learner, draw):
    """float64 in, float64 precision out"""
    layer, weights = random_layer(learner, draw, 30, 6, 2)  # the root of a head_dim of 5 is no float32
    x, cache = draw(3, 4, 30), (draw(3, 2, 7, 5), draw(3, 2, 7, 5))
    all_precise(layer.ahead(x), attend_cached(x, None, weights, 6))
    for tokens in (x, x[:, :1]):
        all_precise(layer.ahead(tokens, cache), attend_cached(tokens, cache, weights, 6))


@pytest.mark.parametrize(
    "sizes", [(10, 3, 1), (24, 5, 1), (24, 6, 4), (24, 4, 3), (8, 4, 8), (4, 8, 1)], ids=named("d_model", "H", "K")
)
def test_heads_must_be_divisible(learner, sizes):
    """ValueError when num_heads does not divide d_model, or num_kv_heads num_heads"""
    call = "{}(d_model={}, num_heads={}, num_kv_heads={})".format(SYMBOL, *sizes)
    raises("ValueError", lambda: learner.CachedGroupedQueryAttention(*sizes).parameters, call)


def test_only_new_tokens_are_projected(learner, draw):
    """only the new tokens are projected"""
    past, d_model = 64, 32
    layer, _ = random_layer(learner, draw, d_model=d_model, num_heads=4)
    cache = (draw(1, K, past, 8), draw(1, K, past, 8))
    flops = layer.flops(draw(1, 1, d_model), cache)
    formula = 4 * d_model * d_model + 4 * d_model * K * 8 + 4 * (past + 1) * d_model
    holds(
        flops <= 3 * formula,
        "a decode step does the work of many tokens",
        f"about {formula} FLOPs with {past} tokens cached",
        f"{flops} FLOPs",
    )
