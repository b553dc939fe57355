"""Grader of temperature, top-k and top-p, and of the draw of a token."""

import math

import pytest
import torch

from grading.examination.checks import close, close_each, holds, precise, raises, same, shaped, typed
from katas.attention.layer_rules import short
from katas.sampling.oracle import drawn, logs, named, parts, wanted

HALF = {torch.float16: 2e-3, torch.bfloat16: 1.6e-2}  # two roundings of a number near 1
SIZES = [(2, 5), (1, 4), (4, 3)]
ROWS = logs([2, 8, 1, 4, 3], [1, 3, 7, 2, 11], [5, 1, 9, 4, 7])
OTHERS = logs([2, 8, 1, 4, 3], [3, 4, 10, 2, 6], [5, 1, 9, 4, 7])
MIXED = logs([2, 8, 1, 4, 3], [100, 1, 1.5, 2, 3], [5, 1, 9, 4, 7], [1, 2, 30, 3, 4], [9, 7, 8, 6, 5])
EIGHT = torch.tensor([0.05, 0.2, 0.6, 0.65, 0.7, 0.9, 0.95, 0.99], dtype=torch.float64)
NEAR_HALF = 0.5 + 1e-10 * torch.tensor([1, -1, 2, 3, -2, 4, -5, 1], dtype=torch.float64)
TWO = torch.stack([NEAR_HALF, 1 - NEAR_HALF], -1)


def filtered(learner, logits, *options):
    """The distribution is the one that the rules give."""
    close(learner.next_token_probs.ahead(logits, *options), wanted(logits, *options), "the distribution")


def picked(learner, probs, u, ids):
    """These ids are drawn."""
    same(learner.sample.ahead(probs, u), torch.as_tensor(ids), "the ids")


def eight_times(*weights):
    """One row of probabilities for eight numbers u."""
    return parts(weights).repeat(8, 1)


# ----------------------------------------------------------------------------------------- shape, dtype, temperature


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_shape(learner, draw, size):
    """the probabilities have the shape of the logits"""
    shaped(learner.next_token_probs.ahead(draw(*size)), size, "the probabilities")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=short)
def test_dtype(learner, draw, dtype):
    """the probabilities have the dtype of the logits"""
    typed(learner.next_token_probs.ahead(draw(2, 5, dtype=dtype)), dtype, "the probabilities")


def test_softmax(learner):
    """without a filter it is the softmax of each row"""
    filtered(learner, ROWS)


@pytest.mark.parametrize("temperature", [0.5, 2.0], ids="T={}".format)
def test_temperature(learner, temperature):
    """the logits are divided by the temperature"""
    filtered(learner, ROWS, temperature)


def test_what_top_k_leaves_sums_to_one(learner):
    """what top_k leaves of a row sums to 1"""
    close(learner.next_token_probs(ROWS, 1.0, 3).sum(-1), torch.ones(3).double(), "the sum of each row")


def test_what_top_p_leaves_sums_to_one(learner):
    """what top_p leaves of a row sums to 1"""
    close(learner.next_token_probs(ROWS, 1.0, None, 0.8).sum(-1), torch.ones(3).double(), "the sum of each row")


# ------------------------------------------------------------------------------------------------------------ top-k


@pytest.mark.parametrize("top_k", [3, 1, 2], ids="top_k={}".format)
def test_top_k(learner, top_k):
    """top_k keeps that many tokens, those of the highest logits"""
    filtered(learner, ROWS, 1.0, top_k)


@pytest.mark.parametrize("top_k", [5, 50_000], ids="top_k={}".format)
def test_top_k_above_the_vocabulary(learner, draw, top_k):
    """a top_k of the whole vocabulary or more keeps all"""
    filtered(learner, draw(3, 5), 1.0, top_k)


@pytest.mark.parametrize("top_k", [4, 3], ids="top_k={}".format)
def test_top_k_ties(learner, top_k):
    """of tokens with equal logits, top_k keeps those with the lower ids"""
    filtered(learner, logs([2, 8, 1, 4, 1], [3, 3, 3, 3, 3], [1, 1, 5, 1, 7], [7, 2, 2, 2, 9]), 1.0, top_k)


# ------------------------------------------------------------------------------------------------------------ top-p


@pytest.mark.parametrize("top_p", [0.6, 0.9], ids="top_p={}".format)
def test_top_p(learner, top_p):
    """top_p keeps the most probable tokens, up to and with the one that crosses it"""
    filtered(learner, ROWS, 1.0, None, top_p)


@pytest.mark.parametrize("top_p", [0.3, 0.01, 1e-9], ids="top_p={}".format)
def test_top_p_keeps_one(learner, top_p):
    """the most probable token is kept, however small top_p is"""
    filtered(learner, ROWS, 1.0, None, top_p)


@pytest.mark.parametrize(("tokens", "top_p"), [(4, 0.5), (8, 0.625)], ids=str)
def test_top_p_is_reached(learner, tokens, top_p):
    """a token is kept while the probability before it is below top_p, and not when it is top_p"""
    filtered(learner, torch.zeros(2, tokens), 1.0, None, top_p)


@pytest.mark.parametrize("top_p", [0.7, 0.2], ids="top_p={}".format)
def test_top_p_ties(learner, top_p):
    """of tokens with equal logits, top_p keeps those with the lower ids"""
    filtered(learner, logs([1, 3, 1, 3, 1], [6, 5, 5, 6, 5], [2, 2, 1, 1, 2]), 1.0, None, top_p)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=short)
def test_top_p_of_one(learner, draw, dtype):
    """a top_p of 1 drops nothing, although a sum of floats may end below 1"""
    equal = logs(*([3] * count + [0] * (12 - count) for count in range(1, 13)))
    filtered(learner, torch.cat([equal, draw(8, 12)]).to(dtype), 1.0, None, 1.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=short)
def test_top_p_of_one_and_small_probabilities(learner, draw, dtype):
    """a top_p of 1 drops nothing, although a sum of floats reaches 1 too early"""
    logits = (20 - 6.0 * draw(3, 12).argsort(-1)).to(dtype)
    got = learner.next_token_probs(logits, 1.0, None, 1.0)
    close(got, wanted(logits), "the distribution")
    dropped = int((got == 0).sum())
    holds(not dropped, "tokens of a small probability were dropped", "no probability is 0", f"{dropped} are 0")


# ---------------------------------------------------------------------------------------------------------- together


@pytest.mark.parametrize("options", [(1.0, 2, 0.58), (1.0, 3, 0.78)], ids=named)
def test_top_p_of_what_top_k_left(learner, options):
    """top_p counts the probabilities of what top_k left, which sum to 1"""
    filtered(learner, OTHERS, *options)


@pytest.mark.parametrize("top_p", [0.7, 0.2], ids="top_p={}".format)
def test_top_p_ties_of_what_top_k_left(learner, top_p):
    """of tokens with equal logits that top_k left, top_p keeps those with the lower ids"""
    filtered(learner, logs([1, 3, 2, 3, 2], [6, 5, 5, 6, 1], [2, 2, 4, 1, 4]), 1.0, 4, top_p)


@pytest.mark.parametrize("options", [(2.0, None, 0.53), (0.5, None, 0.57)], ids=named)
def test_temperature_comes_first(learner, options):
    """the temperature comes first: top_p counts the probabilities that it gives"""
    filtered(learner, OTHERS, *options)


def test_each_row_has_its_own_top_k(learner):
    """top_k looks at each row by itself"""
    filtered(learner, MIXED, 1.0, 2)


def test_each_row_has_its_own_top_p(learner):
    """top_p looks at each row by itself"""
    filtered(learner, MIXED, 1.0, None, 0.7)


def on_random_logits(learner, draw, *options):
    """On logits of several sizes, as many rows as tokens among them."""
    for size in ((1, 9), (7, 6), (5, 5), (3, 7)):
        filtered(learner, draw(*size, scale=2.0), *options)


@pytest.mark.parametrize("temperature", [1.0, 0.6], ids="T={}".format)
def test_numbers(learner, draw, temperature):
    """the distribution is right on random logits"""
    on_random_logits(learner, draw, temperature)


def test_numbers_with_top_k(learner, draw):
    """the distribution with top_k is right on random logits"""
    on_random_logits(learner, draw, 0.8, 4)


def test_numbers_with_top_p(learner, draw):
    """the distribution with top_p is right on random logits"""
    on_random_logits(learner, draw, 1.3, None, 0.75)


def test_numbers_with_both(learner, draw):
    """the distribution with top_k and top_p is right on random logits"""
    on_random_logits(learner, draw, 1.7, 5, 0.8)


def with_minus_infinity(draw):
    """Logits of which some are -inf in each row, and all but two in the first."""
    logits = draw(4, 7).masked_fill(~draw.mask(4, 7), -math.inf)
    logits[0] = torch.tensor([0.5] + [-math.inf] * 5 + [1.5])
    return logits


def test_minus_infinity(learner, draw):
    """a token whose logit is -inf has probability 0, and the others as if it were not there"""
    filtered(learner, with_minus_infinity(draw))


def test_minus_infinity_and_top_k(learner, draw):
    """a token whose logit is -inf has probability 0 with a top_k that reaches to it, too"""
    filtered(learner, with_minus_infinity(draw), 1.0, 6)


def test_minus_infinity_and_top_p(learner, draw):
    """a token whose logit is -inf has probability 0 with top_p, too"""
    filtered(learner, with_minus_infinity(draw), 1.0, None, 0.9)


def test_top_p_is_reached_in_few(learner):
    """top_p is reached among two tokens, among four, and among more, where the others have -inf"""
    equal = [[1] * 2**power + [0] * (64 - 2**power) for power in range(1, 7)]
    filtered(learner, logs(*equal, *(row[::-1] for row in equal)), 1.0, None, 0.5)


@pytest.mark.parametrize("temperature", [1.0, 0.01, 100.0], ids="T={}".format)
def test_large_logits(learner, draw, temperature):
    """logits of a thousand are safe, and temperatures of 0.01 and 100"""
    ranks = draw(6, 5).argsort(-1) / 2
    filtered(learner, torch.cat([ranks[:2] + 1000, ranks[2:4] * 800 - 900, ranks[4:] - 1000]).double(), temperature)
    # as near to each other as the temperature is small, and two that are equal
    near = torch.cat([torch.tensor([[1.0, 3.0, 0.0, 3.0, 2.0]]), ranks[:2]]).double()
    filtered(learner, near * temperature, temperature)


@pytest.mark.parametrize("options", [(1.0, 3), (1.0, None, 0.7)], ids=named)
def test_dropped_below_low_logits(learner, draw, options):
    """a token that a filter dropped has probability 0, however low the logits of the others are"""
    low = torch.tensor([[-1e4], [-1e9], [-1e12]], dtype=torch.float64)
    filtered(learner, low + draw(3, 5).argsort(-1) / 2, *options)


def test_keywords(learner, draw):
    """the arguments of next_token_probs are named logits, temperature, top_k and top_p"""
    logits = draw(3, 7)
    got = learner.next_token_probs.ahead(top_p=0.8, top_k=4, temperature=1.5, logits=logits)
    close(got, wanted(logits, 1.5, 4, 0.8), "the distribution")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=short)
def test_logits_are_not_modified(learner, draw, dtype):
    """the logits handed in are not modified"""
    logits = draw(3, 6, dtype=dtype)
    for options in ((0.5,), (1.0, 3), (0.7, 4, 0.8)):
        _, (after, *_), _ = learner.next_token_probs.echo(logits, *options)
        holds(torch.equal(after, logits), "the logits were modified in place", "as they were", "other numbers")


def test_slices(learner, draw):
    """the logits may be the last position of many, or transposed, or expanded"""
    for logits in (draw(3, 4, 6)[:, -1], draw(6, 4).T, draw(1, 6).expand(3, 6)):
        filtered(learner, logits, 0.8, 4, 0.9)


def test_large_vocabulary(learner, draw):
    """a vocabulary of two thousand tokens"""
    logits = draw(2, 2000, scale=2.0)
    options = [(0.9, None, 0.9), (1.0, 40, None), (1.2, 1500, 0.95)]
    got = learner.next_token_probs.several(*((logits, *each) for each in options))
    close_each(got, [wanted(logits, *each) for each in options])


# ------------------------------------------------------------------------------------------------------------ sample


def test_sample_shape(learner, draw):
    """there is one id for each row"""
    for size in SIZES:
        shaped(learner.sample.ahead(draw(*size).softmax(-1), torch.full(size[:1], 0.5).double()), size[:1], "the ids")


def test_sample_dtype(learner):
    """the ids are int64"""
    typed(learner.sample.ahead(eight_times(2, 8, 1, 4, 1), EIGHT), torch.int64, "the ids")


def test_sample(learner):
    """the id is the smallest whose cumulative probability exceeds u"""
    picked(learner, eight_times(2, 8, 1, 4, 1), EIGHT, [0, 1, 1, 2, 3, 3, 4, 4])


def test_sample_rows(learner):
    """each row is drawn from its own probabilities with its own u"""
    rows = ([1, 2, 5], [5, 2, 1], [1, 6, 1], [2, 2, 4], [4, 2, 2], [1, 1, 6], [6, 1, 1], [3, 2, 3])
    u = torch.tensor([0.9, 0.1, 0.5, 0.3, 0.7, 0.2, 0.95, 0.6], dtype=torch.float64)
    picked(learner, parts(*rows), u, [2, 0, 1, 1, 1, 1, 2, 1])


def test_sample_at_a_sum(learner):
    """a cumulative probability that equals u does not exceed it"""
    u = torch.arange(8, dtype=torch.float64) / 8
    picked(learner, eight_times(1, 1, 1, 1, 1, 1, 1, 1), u, range(8))
    picked(learner, eight_times(1, 3, 2, 2), u, [0, 1, 1, 1, 2, 2, 3, 3])


def test_sample_of_probability_zero(learner):
    """a token of probability 0 is not drawn, wherever u falls"""
    u = torch.tensor([0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.99], dtype=torch.float64)
    picked(learner, eight_times(0, 0, 1, 0, 1, 2, 0, 0), u, [2, 2, 4, 4, 5, 5, 5, 5])
    picked(learner, eight_times(1, 1, 2, 0, 0), u, [0, 0, 1, 1, 2, 2, 2, 2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=short)
def test_sample_of_two_dtypes(learner, dtype):
    """u may have another dtype than the probabilities"""
    u = EIGHT.float() if dtype is torch.float64 else EIGHT
    picked(learner, eight_times(2, 8, 1, 4, 1).to(dtype), u, [0, 1, 1, 2, 3, 3, 4, 4])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALF], ids=short)
def test_sample_beyond_the_sum(learner, dtype):
    """where the sum of a row ends at or below u, the id is the last that has a probability"""
    probs = parts(*([1] + [3] * count + [0] * (11 - count) for count in range(1, 11))).to(dtype)
    double = dtype is torch.float64
    u = torch.full((10,), 1 - 2**-53 if double else 1 - 2**-24, dtype=torch.float64 if double else torch.float32)
    picked(learner, probs, u, range(1, 11))
    picked(learner, probs.roll(1, -1), u, range(2, 12))


def test_sample_random(learner, draw):
    """the ids are right on random probabilities"""
    for size in ((1, 5), (12, 3), (8, 8), (19, 6)):
        probs, u = draw(*size).softmax(-1), draw(2, size[0]).softmax(0)[0]
        picked(learner, probs, u, drawn(probs, u))


def test_sample_frequencies(learner):
    """numbers u that are spread evenly draw each token as often as its probability says"""
    hundredths = torch.tensor([7, 31, 12, 40, 10])
    u = (torch.arange(100, dtype=torch.float64) + 0.5) / 100
    picked(learner, (hundredths / 100).expand(100, 5).double(), u, torch.arange(5).repeat_interleave(hundredths))


def test_sample_of_one_token(learner):
    """a vocabulary of one token, and rows in which one has it all"""
    picked(learner, torch.ones(2, 1), torch.tensor([0.0, 0.9]), [0, 0])
    picked(learner, torch.eye(9), torch.full((9,), 0.5), range(9))


def test_sample_keywords(learner):
    """the arguments of sample are named probs and u"""
    same(learner.sample.ahead(u=torch.full((8,), 0.5), probs=torch.eye(8)), torch.arange(8), "the ids")


def test_sample_of_what_was_filtered(learner, draw):
    """a token that a filter dropped is not drawn, for u from 0 up to just below 1"""
    probs = wanted(draw(24, 9, scale=2.0), 0.9, 4, 0.8)
    u = torch.tensor([0, 0.5, 1 - 2**-24]).double().repeat(8)
    picked(learner, probs, u, drawn(probs, u))


# ----------------------------------------------------------------------- half precision, precision, effects, errors


@pytest.mark.parametrize("dtype", HALF, ids=short)
@pytest.mark.parametrize("options", [(1.3,), (0.7, 4, 0.8)], ids=named)
def test_half(learner, draw, dtype, options):
    """the numbers are right in float16 and bfloat16"""
    logits = (0.75 * draw(3, 7).argsort(-1)).to(dtype)
    got = learner.next_token_probs.ahead(logits, *options)
    close(got, wanted(logits, *options), "the distribution", HALF[dtype])


@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_half_temperature(learner, draw, dtype):
    """logits in half precision are divided by the temperature in float32"""
    logits = (300 + 2 * draw(3, 7).argsort(-1)).to(dtype)
    close(learner.next_token_probs.ahead(logits, 3.0), wanted(logits, 3.0), "the distribution", HALF[dtype])


@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_half_sums(learner, dtype):
    """top_p sums the probabilities of logits in half precision in float32"""
    got = learner.next_token_probs(torch.zeros(2, 900, dtype=dtype), 1.0, None, 0.7512)
    shaped(got, (2, 900), "the probabilities")
    kept = (got > 0).sum(-1).tolist()
    holds(kept == [677, 677], "of 900 equal tokens another number is kept", "677 in each row", f"{kept}")


@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_half_sample(learner, dtype):
    """sample sums probabilities in half precision in float32"""
    ids = torch.arange(8) * 511 + 301
    picked(learner, torch.full((1, 4096), 2.0**-12, dtype=dtype).expand(8, 4096), (ids + 0.5) / 4096, ids)


@pytest.mark.parametrize("dtype", [*HALF, torch.float32, torch.float64], ids=short)
def test_sample_takes_rows_as_they_are(learner, dtype):
    """the probabilities are taken as they are, although rounding may leave a row another sum than 1"""
    eps = torch.finfo(dtype).eps
    rows = torch.tensor([[0.5, 0.25, 0.25 - eps], [0.5, 0.25, 0.25 + eps]], dtype=torch.float64)
    picked(learner, rows.to(dtype), torch.tensor([0.5, 0.5 - eps / 4], dtype=torch.float64), [1, 0])


@pytest.mark.parametrize("dtype", HALF, ids=short)
@pytest.mark.parametrize("options", [(1.0, 4), (1.0, None, 0.8)], ids=named)
def test_half_is_rounded_once(learner, dtype, options):
    """half precision is rounded once, at the end"""
    # no probability is so near to the middle of two numbers of the dtype that float32 work may round it to the other
    rows = [3.5, 2.5, 1.25, 2.25, 1.75, 3.25], [1.75, 2.25, 1.0, 1.25, 2.0, 0.0], [2.75, 3.25, 2.5, 1.5, 3.75, 3.5]
    logits = torch.tensor(rows, dtype=dtype)
    close(learner.next_token_probs.ahead(logits, *options), wanted(logits, *options), "the distribution")


def test_float64_precision(learner, draw):
    """float64 logits give the precision of float64"""
    logits = draw(3, 7)
    got = learner.next_token_probs.ahead(logits, 0.7, 5, 0.9)
    precise(got, wanted(logits, 0.7, 5, 0.9), "the distribution", "the temperature, the softmax")


def test_sample_double_precision(learner):
    """float64 probabilities are summed in float64"""
    for dtype in (torch.float64, torch.float32):
        picked(learner, TWO, torch.full((8,), 0.5, dtype=dtype), [0, 1, 0, 0, 1, 0, 1, 0])
    picked(learner, eight_times(1, 7)[:2], 0.125 - torch.tensor([1e-12, 0], dtype=torch.float64), [0, 1])


def test_sample_just_below_a_sum(learner):
    """a cumulative probability exceeds a u of float64 that is just below it, whatever dtype the probabilities have"""
    picked(learner, TWO, NEAR_HALF - 1e-12, [0] * 8)
    u = torch.arange(1, 9, dtype=torch.float64) / 8 - 1e-12
    for dtype in (torch.float32, *HALF):
        picked(learner, eight_times(1, 1, 1, 1, 1, 1, 1, 1).to(dtype), u, range(8))


def test_probabilities_are_not_modified(learner):
    """the probabilities and numbers handed in are not modified"""
    for given in ((eight_times(2, 8, 1, 4, 1), EIGHT), (eight_times(0, 1, 0, 3, 0).float(), EIGHT.float())):
        _, after, _ = learner.sample.echo(*given)
        right = all(map(torch.equal, given, after))
        holds(right, "the probabilities or u were modified in place", "as they were", "other numbers")


def test_the_same_tensors_with_other_numbers(learner, draw):
    """the same tensors may hold other numbers in the next call"""
    many, options = [draw(4, 7, scale=2.0) for _ in range(3)], (0.9, 4, 0.8)
    got = learner.next_token_probs.several(*((logits, *options) for logits in many), reuse=True)
    close_each(got, [wanted(logits, *options) for logits in many])
    rows = [(logits.softmax(-1), draw(2, 4).softmax(0)[0]) for logits in many]
    close_each(learner.sample.several(*rows, reuse=True), [torch.as_tensor(drawn(*row)) for row in rows])


def test_a_call_changes_nothing(learner, draw):
    """a call leaves PyTorch's settings as they were"""
    for changed in (
        learner.next_token_probs.changes(draw(2, 5), 0.7, 3, 0.9),
        learner.sample.changes(torch.eye(8), EIGHT),
    ):
        holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))


def refused(learner, *options):
    """The options raise a ValueError."""
    logits = torch.tensor([[0.0, 1, 2], [2, 1, 0]])
    raises("ValueError", lambda: learner.next_token_probs(logits, *options), f"next_token_probs with {named(options)}")


@pytest.mark.parametrize("temperature", [0.0, -1.0], ids="T={}".format)
def test_temperature_out_of_range(learner, temperature):
    """a temperature of 0 or below is a ValueError"""
    refused(learner, temperature)
    refused(learner, temperature, 1)


@pytest.mark.parametrize("top_k", [0, -3], ids="top_k={}".format)
def test_top_k_out_of_range(learner, top_k):
    """a top_k below 1 is a ValueError"""
    refused(learner, 1.0, top_k)
    refused(learner, 1.0, top_k, 0.5)


@pytest.mark.parametrize("top_p", [0.0, -0.1, 1.5], ids="top_p={}".format)
def test_top_p_out_of_range(learner, top_p):
    """a top_p of 0 or below, or above 1, is a ValueError"""
    refused(learner, 1.0, None, top_p)
    refused(learner, 1.0, 1, top_p)
