"""Grader of kata 5, grouped-query attention with a KV cache."""

import itertools
import math

import pytest
import torch

from grading.candidate.pending import on_arrival
from grading.examination.checks import close, describe, holds, numbers, parameters, raises, shaped, typed
from grading.observe import agree
from katas.attention.oracle import attend_cached, layer_weights, plain_weights, project, split

HALF = {torch.float16: 2e-2, torch.bfloat16: 1.5e-1, torch.float32: 2e-5, torch.float64: 1e-12}
SYMBOL = "CachedGroupedQueryAttention"
D, H, K, E = 24, 6, 2, 4


def random_layer(learner, draw, d_model=D, num_heads=H, num_kv_heads=K, bias=True):
    """A layer with random weights, and the weights."""
    weights = layer_weights(draw, d_model, num_heads, num_kv_heads, bias)
    return learner.CachedGroupedQueryAttention(d_model, num_heads, num_kv_heads, bias=bias).set(weights), weights


def unpacked(value):
    """(output, keys, values) of what forward returned."""
    holds(
        isinstance(value, tuple | list) and len(value) == 2,
        "forward has to return (output, kv_cache)",
        "a tuple of two",
        describe(value),
    )
    output, cache = value
    holds(
        isinstance(cache, tuple | list) and len(cache) == 2,
        "kv_cache has to be (keys, values)",
        "a tuple of two",
        describe(cache),
    )
    return output, cache[0], cache[1]


@on_arrival
def agrees(value, wanted, when=""):
    """Output and cache are the wanted ones."""
    output, keys, values = unpacked(value)
    close(output, wanted[0], f"the output{when}")
    close(keys, wanted[1][0], f"the keys in the cache{when}")
    close(values, wanted[1][1], f"the values in the cache{when}")


@on_arrival
def in_a_row(values, wanted):
    """What calls in a row gave is what is wanted."""
    for i, (got, right) in enumerate(zip(values, wanted, strict=True), start=1):
        agrees(got, right, f" of call {i} of {len(wanted)}")


def compositions(total):
    """All ways to cut a sequence of that length into chunks."""
    for cuts in itertools.product([False, True], repeat=total - 1):
        ends = [i + 1 for i, cut in enumerate(cuts) if cut] + [total]
        yield [end - start for start, end in zip([0, *ends], ends, strict=False)]


# ------------------------------------------------------------------------------------------ construction


@pytest.mark.parametrize("bias", [True, False])
def test_parameters(learner, draw, bias):
    """the layers are q_proj, k_proj, v_proj, o_proj, with the contract's shapes"""
    layer = learner.CachedGroupedQueryAttention(D, H, K, bias)  # the arguments in their order
    wanted = {name: tuple(weight.shape) for name, weight in layer_weights(draw, D, H, K, bias).items()}
    parameters(layer.parameters, wanted, layer.made)
    output, _, _ = unpacked(layer(draw(2, 5, D).float()))
    shaped(output, (2, 5, D))
    typed(output, torch.float32)


@pytest.mark.parametrize("sizes", [(10, 3, 1), (24, 5, 1), (24, 6, 4), (24, 4, 3), (8, 4, 8), (4, 8, 1)], ids=str)
def test_heads_must_be_divisible(learner, sizes):
    """ValueError when num_heads does not divide d_model, or num_kv_heads num_heads"""
    call = "{}(d_model={}, num_heads={}, num_kv_heads={})".format(SYMBOL, *sizes)
    raises("ValueError", lambda: learner.CachedGroupedQueryAttention(*sizes).parameters, call)


# ------------------------------------------------------------------------------------------------ rules


def test_returns_output_and_cache(learner, draw):
    """forward returns the output (B, L, D) and the cache (keys, values)"""
    layer, _ = random_layer(learner, draw)
    output, _, _ = unpacked(layer(draw(2, 5, D)))
    shaped(output, (2, 5, D))


@on_arrival
def cache_shaped(value, shape):
    """Keys and values in the cache have that shape."""
    _, keys, values = unpacked(value)
    shaped(keys, shape, "the keys in the cache")
    shaped(values, shape, "the values in the cache")


@pytest.mark.parametrize("kv_heads", [1, 2, 3, 6])
def test_cache_has_the_kv_heads_only(learner, draw, kv_heads):
    """the cache holds (B, K, past + L, E): K heads, not H"""
    layer, _ = random_layer(learner, draw, num_kv_heads=kv_heads)
    cache = (draw(2, kv_heads, 3, E), draw(2, kv_heads, 3, E))
    for past, given in ((0, ()), (3, (cache,))):
        cache_shaped(layer.ahead(draw(2, 5, D), *given), (2, kv_heads, past + 5, E))


def test_cache_holds_the_projected_tokens(learner, draw):
    """the cache holds the projected keys and values of the tokens"""
    layer, weights = random_layer(learner, draw)
    x = draw(2, 5, D)
    _, keys, values = unpacked(layer(x))
    close(keys, split(project(x, weights, "k_proj"), E), "the keys in the cache")
    close(values, split(project(x, weights, "v_proj"), E), "the values in the cache")


def test_cache_is_in_the_order_of_the_tokens(learner, draw):
    """cached tokens come first, new ones after them"""
    layer = learner.CachedGroupedQueryAttention(4, 2, 1).set(plain_weights(4, 2, 1))
    x = torch.tensor([4.0, 5.0]).double()[None, :, None].expand(1, 2, 4)
    past = torch.tensor([1.0, 2.0, 3.0]).double()[None, None, :, None].expand(1, 1, 3, 2)
    _, keys, values = unpacked(layer(x, (past, past + 10)))
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
        [11, 12, 13, 4, 5],
        "tokens, by their values",
        "the cache is not in the order of the tokens",
    )


@pytest.mark.parametrize("past", [0, 2, 4])
def test_a_token_sees_the_past_and_itself(learner, draw, past):
    """a new token sees the past and the new tokens up to itself"""
    # zero scores, and only token 0 has a value: its share shows how many tokens are seen
    layer = learner.CachedGroupedQueryAttention(4, 2, 1).set(plain_weights(4, 2, 1, q_proj=0.0))
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


@pytest.mark.parametrize("kv_heads", [2, 3])
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
    # head_dim = 4; the new token's own product is 2 ln 3, the cached one's 0: the weights are 1/4 and 3/4
    layer = learner.CachedGroupedQueryAttention(8, 2, 1).set(plain_weights(8, 2, 1))
    root = math.sqrt(math.log(3) / 2)
    x = torch.full((1, 1, 8), root).double()
    zeros = torch.zeros(1, 1, 1, 4).double()
    output, _, _ = unpacked(layer(x, (zeros, zeros)))
    shaped(output, (1, 1, 8))
    shares = (output[0, 0, ::4] / root).tolist()
    numbers(
        shares,
        [0.75, 0.75],
        "the new token's weight in each head",
        "these are not the weights of scores times 1/sqrt(head_dim)",
    )


# -------------------------------------------------------------------------------------- cache equivalence


def test_one_pass(learner, draw):
    """one pass without a cache is causal self-attention"""
    layer, weights = random_layer(learner, draw)
    for length in (1, 5):
        x = draw(2, length, D)
        agrees(layer.ahead(x), attend_cached(x, None, weights, H))


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
    x = draw(2, 5, D)
    wanted, (keys, values) = attend_cached(x, None, weights, H)
    for chunks in compositions(5):
        steps = [(layer, part, i - 1 if i else None) for i, part in enumerate(x.split(chunks, dim=1))]
        decoded(learner.decode(steps), chunks, wanted, (keys, values))


@pytest.mark.parametrize(
    "sizes", [(2, 3, 4), (2, 4, 4), (2, 1, 6), (1, 5, 3), (4, 2, 2), (1, 1, 12), (3, 2, 300)], ids=str
)
def test_any_cache_may_be_handed_in(learner, draw, sizes):
    """a cache that comes from elsewhere is used as it is"""
    batch, length, past = sizes
    layer, weights = random_layer(learner, draw)
    x, cache = draw(batch, length, D), (draw(batch, K, past, E), draw(batch, K, past, E))
    agrees(layer.ahead(x, cache), attend_cached(x, cache, weights, H))


@pytest.mark.parametrize("sizes", [(300, 20), (1, 9000)], ids=str)
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
    holds(torch.equal(x, x_after), "x was modified in place")
    for name, was, now in zip(("keys", "values"), cache, after, strict=True):
        holds(was.shape == now.shape and torch.equal(was, now), f"the {name} handed in were modified in place")


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


# ------------------------------------------------------------------------------------------ cost and the rest


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


@pytest.mark.parametrize("dtype", HALF, ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_dtype_is_kept(learner, draw, dtype):
    """the dtype of output and cache is that of x"""
    weights = {name: weight.to(dtype) for name, weight in layer_weights(draw, D, H, K).items()}
    layer = learner.CachedGroupedQueryAttention(D, H, K).set(weights, dtype)
    x, cache = draw(2, 3, D, dtype=dtype), (draw(2, K, 4, E, dtype=dtype), draw(2, K, 4, E, dtype=dtype))
    exact = {name: weight.double() for name, weight in weights.items()}
    for given in (None, cache):
        output, *kept = unpacked(layer(x, given))
        past = given and (given[0].double(), given[1].double())
        wanted, (keys, values) = attend_cached(x.double(), past, exact, H)
        for name, got, right in (("output", output, wanted), ("keys", kept[0], keys), ("values", kept[1], values)):
            shaped(got, tuple(right.shape), f"the {name}")
            typed(got, dtype, f"the {name}")
            close(got, right.to(dtype), f"the {name}", tolerance=HALF[dtype])


def test_large_scores_are_safe(learner, draw):
    """scores of 1e4 are safe"""
    layer, weights = random_layer(learner, draw)
    x, cache = draw(2, 5, D, scale=100.0), (draw(2, K, 4, E, scale=100.0), draw(2, K, 4, E))
    agrees(layer.ahead(x, cache), attend_cached(x, cache, weights, H))
    agrees(layer.ahead(x), attend_cached(x, None, weights, H))  # the first token's only score may be far below zero


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_large_scores_in_half_precision(learner, dtype):
    """scores of 1e4 are safe in float16 and bfloat16"""
    # E = 16: the scores are near 1e4, and before they are scaled still below float16's largest number, 65504
    # and the first of the two new tokens sees none but scores below -1e4, beside a masked one
    for sign, wanted in ((1.0, 4.0), (-1.0, 3.0)):
        weights = plain_weights(32, 2, 1, q_proj=sign)
        layer = learner.CachedGroupedQueryAttention(32, 2, 1)
        layer.set({name: weight.to(dtype) for name, weight in weights.items()}, dtype)
        keys, values = (
            torch.tensor(numbers, dtype=dtype)[None, None, :, None].expand(1, 1, 4, 16)
            for numbers in ([54.0, 53.0, 52.0, 55.0], [1.0, 2.0, 3.0, 4.0])
        )
        output, _, _ = unpacked(layer(torch.full((1, 2, 32), 54.0, dtype=dtype), (keys, values)))
        close(output, torch.full((1, 2, 32), wanted, dtype=dtype))


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


@pytest.mark.parametrize(
    "sizes",
    [(2, 16, 8, 4, True), (5, 24, 6, 3, False), (1, 4, 4, 4, True), (2, 12, 6, 1, False), (2, 5, 1, 1, True)],
    ids=str,
)
def test_equals_pytorch(learner, draw, sizes):
    """the numbers are PyTorch's, with copied weights"""
    batch, d_model, num_heads, kv_heads, bias = sizes
    layer, weights = random_layer(learner, draw, d_model, num_heads, kv_heads, bias)
    for length, past in ((1, 5), (3, 2), (4, 4)):
        head_dim = d_model // num_heads
        x = draw(batch, length, d_model)
        cache = (draw(batch, kv_heads, past, head_dim), draw(batch, kv_heads, past, head_dim))
        agrees(layer.ahead(x, cache), attend_cached(x, cache, weights, num_heads))
        agrees(layer.ahead(x), attend_cached(x, None, weights, num_heads))


def test_inputs_that_tell_mistakes_apart(learner, seed):
    """the numbers are right on inputs on which each known mistake shows"""
    agree(learner, seed)
