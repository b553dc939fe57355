"""Grader of the sliding window and the rolling cache.

Where a check names no sizes, they are all different, so that an axis that is taken for another shows. A cache may hold
its tokens in any order: they are looked at in the order of their positions.
"""

import itertools

import pytest
import torch
import torch.nn.functional as F

from grading.candidate.pending import on_arrival
from grading.examination.checks import close, describe, holds, numbers, same, shaped, typed
from katas.attention.layer_rules import short

B, K, E, EV = 2, 3, 4, 5
PARTS = ("the keys in the cache were", "the values in the cache were", "the tensor of positions was")
PARTS = (*PARTS, "the argument keys was", "the argument values was")
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def visible(query_len, key_len, window, num_sinks=0):
    """Pair by pair: the key is not later than the query, and near or a sink."""
    first = key_len - query_len
    rows = [
        [key <= query and (query - key < window or key < num_sinks) for key in range(key_len)]
        for query in range(first, key_len)
    ]
    return torch.tensor(rows)


def sized(size):
    names = ("query_len", "key_len", "window", "num_sinks")
    return ", ".join(f"{name}={number}" for name, number in zip(names, size, strict=False))


# ------------------------------------------------------------------------------------------------- the mask


@pytest.mark.parametrize("size", [(3, 5, 2), (1, 4, 2), (4, 4, 3), (2, 7, 3, 1)], ids=sized)
def test_mask_shape(learner, size):
    """the mask has the shape (query_len, key_len)"""
    shaped(learner.window_mask.ahead(*size), size[:2], "the mask")


@pytest.mark.parametrize("size", [(4, 4, 2), (3, 6, 2, 1)], ids=sized)
def test_mask_is_boolean(learner, size):
    """the mask is boolean"""
    typed(learner.window_mask.ahead(*size), torch.bool, "the mask")


@on_arrival
def parted(got, wanted, part):
    """The mask is the wanted one in a part of its pairs, and may be anything in the others."""
    shaped(got, tuple(wanted.shape), "the mask")
    typed(got, torch.bool, "the mask")
    same(torch.where(part, got, wanted), wanted)


def later(query_len, key_len):
    """The pairs whose key is later than the query."""
    return torch.ones(query_len, key_len, dtype=torch.bool).triu(key_len - query_len + 1)


@pytest.mark.parametrize("window", [2, 1, 3], ids="window={}".format)
def test_nothing_later_is_seen(learner, window):
    """a query sees nothing that comes after it"""
    parted(learner.window_mask.ahead(5, 5, window), visible(5, 5, window), later(5, 5))


@pytest.mark.parametrize("window", [2, 1, 3], ids="window={}".format)
def test_a_query_sees_itself(learner, window):
    """a query sees itself"""
    parted(learner.window_mask.ahead(5, 5, window), visible(5, 5, window), torch.eye(5).bool())


@on_arrival
def seen_by_each(got, shape, wanted, meaning):
    """How many keys each query sees."""
    shaped(got, shape, "the mask")
    typed(got, torch.bool, "the mask")
    numbers(got.sum(dim=1).tolist(), wanted, meaning, "the queries see another number of keys")


@pytest.mark.parametrize("window", [3, 1, 4], ids="window={}".format)
def test_window_counts_the_query(learner, window):
    """a query sees `window` positions, itself among them"""
    wanted = [min(i + 1, window) for i in range(7)]
    seen_by_each(learner.window_mask.ahead(7, 7, window), (7, 7), wanted, f"keys seen by queries 0..6, window {window}")


@pytest.mark.parametrize("window", [2, 1, 3, 5], ids="window={}".format)
def test_band(learner, window):
    """a query sees itself and the window - 1 positions before it"""
    same(learner.window_mask.ahead(6, 6, window), visible(6, 6, window))


@pytest.mark.parametrize("size", [(2, 6, 3), (1, 4, 2), (3, 8, 2), (4, 5, 3), (3, 6, 4)], ids=sized)
def test_queries_are_the_last_positions(learner, size):
    """with more keys than queries, the queries are the last positions"""
    same(learner.window_mask.ahead(*size), visible(*size))


@pytest.mark.parametrize("size", [(5, 5, 5), (4, 4, 9), (3, 6, 6), (2, 5, 1000), (3, 5, 10**12)], ids=sized)
def test_window_larger_than_the_sequence(learner, size):
    """a window as long as the sequence, or longer, hides nothing but what comes later"""
    same(learner.window_mask.ahead(*size), visible(*size))


@pytest.mark.parametrize("num_sinks", [3, 1, 9], ids="num_sinks={}".format)
def test_sinks_are_hidden_from_what_comes_before_them(learner, num_sinks):
    """a sink is not seen by what comes before it"""
    parted(learner.window_mask.ahead(6, 6, 2, num_sinks), visible(6, 6, 2, num_sinks), later(6, 6))


@pytest.mark.parametrize("num_sinks", [1, 2], ids="num_sinks={}".format)
def test_sinks_are_seen(learner, num_sinks):
    """every later query sees the first num_sinks positions"""
    wanted = visible(8, 8, 2, num_sinks)
    parted(learner.window_mask.ahead(8, 8, 2, num_sinks), wanted, (torch.arange(8) < num_sinks).expand(8, 8))


@pytest.mark.parametrize("num_sinks", [1, 2, 3], ids="num_sinks={}".format)
def test_sinks_do_not_count(learner, num_sinks):
    """sinks do not count in the window"""
    wanted = [min(i + 1, 3 + num_sinks) for i in range(9)]
    meaning = f"keys seen by queries 0..8, window 3 and num_sinks {num_sinks}"
    seen_by_each(learner.window_mask.ahead(9, 9, 3, num_sinks), (9, 9), wanted, meaning)


@pytest.mark.parametrize("size", [(7, 7, 2, 1), (8, 8, 3, 2), (6, 6, 1, 2), (5, 5, 4, 3), (4, 4, 2, 10**12)], ids=sized)
def test_band_and_sinks(learner, size):
    """a query sees its window and the sinks that are not later than itself"""
    same(learner.window_mask.ahead(*size), visible(*size))


def test_mask_of_the_example(learner):
    """the mask of the example"""
    rows = ["x..xx..", "x...xx.", "x....xx"]
    same(learner.window_mask.ahead(3, 7, 2, 1), torch.tensor([[sign == "x" for sign in row] for row in rows]))


@pytest.mark.parametrize("size", [(2, 7, 2, 2), (1, 6, 2, 1), (3, 8, 3, 1), (1, 5, 1, 2), (4, 6, 2, 9)], ids=sized)
def test_sinks_of_the_last_queries(learner, size):
    """with more keys than queries, the sinks are the first keys"""
    same(learner.window_mask.ahead(*size), visible(*size))


def test_every_size(learner):
    """every size up to 5 x 7, with every window and number of sinks"""
    sizes = [
        (query_len, key_len, window, num_sinks)
        for key_len in (1, 2, 4, 7)
        for query_len in {1, 2, 3, 5, key_len}
        for window, num_sinks in itertools.product((1, 2, 3, 6, 9), (0, 1, 2, 4, 9))
        if query_len <= key_len
    ]
    for size, got in zip(sizes, learner.window_mask.several(*sizes).wait(), strict=True):
        same(got, visible(*size), f"the mask for {sized(size)}")


def test_large_masks(learner):
    """masks of some hundreds of positions"""
    for size in ((30, 400, 256, 4), (300, 300, 64, 0), (1, 2600, 130, 4), (90, 700, 512, 700)):
        query_len, key_len, window, num_sinks = size
        ahead = torch.arange(key_len - query_len, key_len)[:, None] - torch.arange(key_len)
        wanted = (ahead >= 0) & ((ahead < window) | (torch.arange(key_len) < num_sinks))
        same(learner.window_mask.ahead(*size), wanted)


def test_mask_by_keyword(learner):
    """the arguments of window_mask are named query_len, key_len, window and num_sinks"""
    same(learner.window_mask.ahead(query_len=2, key_len=6, window=2, num_sinks=1), visible(2, 6, 2, 1))


def test_each_mask_is_its_own(learner):
    """each call returns a mask of its own: what is written into one shows in no other"""
    sizes = [(3, 6, 2, 1), (3, 6, 2, 1), (4, 4, 2, 0), (3, 6, 3, 1), (3, 6, 2, 1)]
    sizes += [(4, 4, 4, 0), (2, 4, 9, 0), (4, 4, 4, 0), (3, 4, 1, 9), (3, 4, 1, 9)]  # nothing but later keys is hidden
    for size, got in zip(sizes, learner.window_mask.several(*sizes, spoil=True).wait(), strict=True):
        same(got, visible(*size))


# ------------------------------------------------------------------------------------------------- the cache


def unpacked(cache):
    """(keys, values, positions, seen) of what rolling_update returned."""
    holds(
        isinstance(cache, tuple | list) and len(cache) == 4,
        "rolling_update has to return (keys, values, positions, seen)",
        "a tuple of four",
        describe(cache),
    )
    keys, values, positions, seen = cache
    names = ("the keys in the cache are", "the values in the cache are", "the tensor of positions is")
    for part, name, dims in zip((keys, values, positions), names, (4, 4, 1), strict=True):
        if not isinstance(part, torch.Tensor) or part.dim() != dims:
            holds(False, f"{name} no tensor of {dims} dimensions", f"{dims} dimensions", described(part))
    if type(seen) is not int:
        holds(False, "seen is not an int", "an int", described(seen))
    return keys, values, positions, seen


def described(value):
    return f"Tensor {tuple(value.shape)}" if isinstance(value, torch.Tensor) else describe(value)


def kept_of(seen, window, num_sinks):
    """The positions that a cache holds."""
    return [p for p in range(seen) if p < num_sinks or p >= seen - window]


class Sequence:
    """A sequence whose tokens come in chunks, and the cache of the learner's that goes with it."""

    def __init__(self, learner, draw, window, num_sinks=0, batch=B, heads=K, features=(E, EV), dtype=torch.float64):
        self.learner, self.draw, self.window, self.num_sinks, self.dtype = learner, draw, window, num_sinks, dtype
        self.keys, self.values = (torch.zeros(batch, heads, 0, size, dtype=dtype) for size in features)
        self.cache = None

    @property
    def seen(self):
        return self.keys.size(2)

    def new(self, length):
        """Keys and values of the next chunk."""
        shapes = [(*each.shape[:2], length, each.size(3)) for each in (self.keys, self.values)]
        return tuple(self.draw(*shape, dtype=self.dtype) for shape in shapes)

    def come(self, keys, values):
        """The chunk counts as seen; the arguments of the call for it."""
        self.keys, self.values = torch.cat([self.keys, keys], dim=2), torch.cat([self.values, values], dim=2)
        return self.cache, keys, values, self.window, self.num_sinks

    def takes(self, length):
        """The cache after a chunk of that length; without a comparison."""
        self.cache = self.learner.rolling_update(*self.come(*self.new(length)))
        unpacked(self.cache)

    def goes_on(self, *lengths):
        """After each chunk the cache holds what it should."""
        before, chunks, ends = self.cache, [], []
        for length in lengths:
            chunks.append(self.come(*self.new(length))[1:])
            ends.append((self.seen, f" after {self.seen - length} + {length} tokens"))
        for cache, (seen, when) in zip(self.learner.rolling_update.in_turn(before, *chunks).wait(), ends, strict=True):
            self.cache = cache
            self.agrees(cache, when, seen)

    def agrees(self, cache, when="", now=None):
        """The cache is right for the tokens up to `now`, all where it is not said."""
        keys, values, positions, seen = unpacked(cache)
        now = self.seen if now is None else now
        wanted = kept_of(now, self.window, self.num_sinks)
        size = len(wanted)
        shaped(keys, (*self.keys.shape[:2], size, self.keys.size(3)), f"the keys in the cache{when}")
        shaped(values, (*self.values.shape[:2], size, self.values.size(3)), f"the values in the cache{when}")
        shaped(positions, (size,), f"the tensor of positions{when}")
        typed(positions, torch.int64, f"the tensor of positions{when}")
        order = positions.argsort(stable=True)
        numbers(positions[order].tolist(), wanted, f"positions held{when}", f"the cache has other positions{when}")
        close(keys[:, :, order], self.keys[:, :, wanted], f"the keys in the cache{when}", 0.0)
        close(values[:, :, order], self.values[:, :, wanted], f"the values in the cache{when}", 0.0)
        numbers([seen], [now], f"tokens seen{when}", f"seen is another number{when}")


def tokens(start, length):
    """Keys 10, 11, 12, ... and values 110, 111, 112, ... of tokens 0, 1, 2, ..., with one head and one feature."""
    keys = torch.arange(start, start + length, dtype=torch.float64).view(1, 1, length, 1) + 10
    return keys, keys + 100


def states(learner, lengths, window, num_sinks=0):
    """After each chunk: how many tokens there are, and the parts of the cache. Tokens are known by their numbers."""
    ends = list(itertools.accumulate(lengths))
    chunks = [(*tokens(end - length, length), window, num_sinks) for length, end in zip(lengths, ends, strict=True)]
    caches = learner.rolling_update.in_turn(None, *chunks)
    return caches.reading(lambda found: ((end, *unpacked(cache)) for end, cache in zip(ends, found, strict=True)))


def spelled(lengths, window, num_sinks=0):
    sinks = f", num_sinks={num_sinks}" if num_sinks else ""
    return f"chunks {' + '.join(map(str, lengths))}, window={window}{sinks}"


def runs(*cases):
    """Parametrise by the lengths of the chunks, the window and the number of sinks."""
    return pytest.mark.parametrize("case", cases, ids=[spelled(*case) for case in cases])


def wanted_of(case, seen):
    return kept_of(seen, *(*case[1:], 0)[:2])


@on_arrival
def holding(after, case, message, part="keys"):
    """Which tokens are held after each chunk, by their keys or values."""
    first = 10 if part == "keys" else 110
    for seen, keys, values, _, _ in after:
        wanted = [first + p for p in wanted_of(case, seen)]
        held = sorted((keys if part == "keys" else values).flatten().tolist())
        numbers(held, wanted, f"{part} held after {seen} tokens, {spelled(*case)}", message)


@on_arrival
def as_many_held(after, case):
    """How many tokens are held after each chunk."""
    for seen, keys, *_ in after:
        meaning = f"tokens held after {seen}, {spelled(*case)}"
        numbers([keys.size(2)], [len(wanted_of(case, seen))], meaning, "the cache holds another number of tokens")


@on_arrival
def numbering(after, case):
    """The positions after each chunk."""
    for seen, _, _, positions, _ in after:
        meaning = f"positions after {seen} tokens, {spelled(*case)}"
        numbers(sorted(positions.tolist()), wanted_of(case, seen), meaning, "the cache has other positions")


# --------------------------------------------------------------------------------- the form of the cache


@on_arrival
def formed(cache, shapes, dtypes):
    keys, values, positions, _ = unpacked(cache)
    for part, shape, dtype, name in zip(
        (keys, values), shapes, dtypes, ("the keys in the cache", "the values in the cache"), strict=True
    ):
        shaped(part, shape, name)
        typed(part, dtype, name)
    shaped(positions, shapes[0][2:3], "the tensor of positions")
    typed(positions, torch.int64, "the tensor of positions")


@pytest.mark.parametrize("length", [3, 1], ids="L={}".format)
def test_cache_is_a_tuple_of_four(learner, draw, length):
    """rolling_update returns (keys, values, positions, seen)"""
    keys, values = draw(B, K, length, E), draw(B, K, length, EV)
    formed(learner.rolling_update.ahead(None, keys, values, 6), (keys.shape, values.shape), [torch.float64] * 2)


PAIRS = [(dtype, dtype) for dtype in DTYPES] + [(torch.float16, torch.float32), (torch.float64, torch.bfloat16)]


@pytest.mark.parametrize("dtypes", PAIRS, ids=lambda pair: " and ".join(dict.fromkeys(map(short, pair))))
def test_dtypes_are_kept(learner, draw, dtypes):
    """keys and values keep their dtype"""
    keys, values = draw(B, K, 3, E, dtype=dtypes[0]), draw(B, K, 3, EV, dtype=dtypes[1])
    formed(learner.rolling_update.ahead(None, keys, values, 6, 1), (keys.shape, values.shape), dtypes)


# ---------------------------------------------------------------------------------------- what is held


@runs(((4,), 6), ((1,), 2))
def test_a_first_chunk_that_fits(learner, case):
    """a first chunk that fits into the window is held whole"""
    holding(states(learner, *case), case, "the cache does not hold the chunk")


@runs(((2, 3, 1), 8), ((1, 1, 2), 4))
def test_later_chunks_join(learner, case):
    """as long as the window has room, new tokens join those that are held"""
    holding(states(learner, *case), case, "the cache does not hold the old tokens and the new ones")


@runs(((2, 3, 1), 4), ((1, 1, 1), 2))
def test_seen_counts_all_tokens(learner, case):
    """seen is the number of all tokens so far"""
    for number, *_, seen in states(learner, *case).wait():
        numbers([seen], [number], f"seen after {number} tokens, {spelled(*case)}", "seen is another number")


@runs(((2, 3, 1), 8), ((1, 1, 2), 4))
def test_positions_go_on(learner, case):
    """the positions of new tokens go on behind those of the old ones"""
    numbering(states(learner, *case), case)


@runs(((3, 1, 1, 1), 3), ((2, 2, 2), 3), ((1, 1, 1), 2), ((3, 2, 2), 4))
def test_no_more_than_the_window_is_held(learner, case):
    """no more tokens than the window are held"""
    as_many_held(states(learner, *case), case)


@runs(((3, 1, 1, 1), 3), ((2, 2, 2), 3), ((3, 2, 3), 4))
def test_the_last_tokens_are_held(learner, case):
    """the last `window` tokens are held"""
    holding(states(learner, *case), case, "the cache holds other tokens than the last ones")


@runs(((2, 2, 1), 3), ((1, 3, 3), 4))
def test_values_are_held_with_their_keys(learner, case):
    """the values that are held are those of the same tokens"""
    holding(states(learner, *case), case, "the cache holds other values than the last ones", "values")


@runs(((3, 1, 1, 1), 3), ((2, 2, 2), 3), ((3, 2, 3), 4))
def test_positions_are_absolute(learner, case):
    """positions are counted from the beginning of the sequence, whatever was dropped"""
    numbering(states(learner, *case), case)


@runs(((2, 5), 3), ((1, 4, 6), 2), ((3, 3), 3))
def test_a_later_chunk_longer_than_the_window(learner, case):
    """of a chunk longer than the window its last tokens are held"""
    holding(states(learner, *case), case, "the cache holds other tokens than the last ones")


@runs(((7,), 3), ((5, 1), 4), ((3,), 1))
def test_a_first_chunk_longer_than_the_window(learner, case):
    """of a first chunk longer than the window its last tokens are held, too"""
    holding(states(learner, *case), case, "the cache holds other tokens than the last ones")


@runs(((1, 1, 1), 1), ((3, 2), 1))
def test_window_of_one(learner, case):
    """with a window of 1 the latest token is held"""
    holding(states(learner, *case), case, "the cache holds other tokens than the latest")


# ------------------------------------------------------------------------------------------------- sinks


@runs(((4, 2, 1, 1), 2, 1), ((3, 3, 3), 2, 2))
def test_sinks_are_held(learner, case):
    """the first num_sinks tokens are held for good"""
    sinks = case[2]
    for seen, keys, *_ in states(learner, *case).wait():
        held = [key for key in sorted(keys.flatten().tolist()) if key < 10 + sinks]
        meaning = f"keys of sinks held after {seen} tokens, {spelled(*case)}"
        numbers(held, list(range(10, 10 + sinks)), meaning, "the cache does not hold the sinks, each once")


@runs(((4, 2, 1, 1), 2, 1), ((3, 3, 3), 3, 2))
def test_sinks_do_not_count_in_the_cache(learner, case):
    """with sinks, num_sinks + window tokens are held"""
    as_many_held(states(learner, *case), case)


@runs(((4, 2, 1, 1), 2, 1), ((3, 3, 3), 3, 2), ((6, 1, 2), 1, 3))
def test_sinks_and_the_last_tokens(learner, case):
    """the sinks and the last `window` tokens are held"""
    holding(states(learner, *case), case, "the cache holds other tokens than the sinks and the last ones")


@runs(((2, 1, 1, 1), 3, 2), ((3, 1), 5, 2), ((1, 1, 1), 1, 1))
def test_a_token_is_held_once(learner, case):
    """a sink that is in the window, too, is held once"""
    holding(states(learner, *case), case, "the cache holds other tokens than the sinks and the last ones")


@runs(((1, 1, 4, 2), 2, 3), ((2, 3, 3), 1, 4))
def test_sinks_in_several_chunks(learner, case):
    """the sinks may come in several chunks"""
    holding(states(learner, *case), case, "the cache holds other tokens than the sinks and the last ones")


@runs(((9, 2), 3, 2), ((2, 8), 2, 1), ((1, 7, 5), 3, 2))
def test_long_chunks_with_sinks(learner, case):
    """a chunk longer than the window may begin with sinks, or come after them"""
    holding(states(learner, *case), case, "the cache holds other tokens than the sinks and the last ones")


@runs(((4, 3), 2, 9), ((4, 3), 20, 1), ((2, 2), 100, 0))
def test_all_are_held_where_all_fit(learner, case):
    """a window, or a number of sinks, larger than the sequence holds all tokens"""
    holding(states(learner, *case), case, "the cache does not hold all tokens")


@runs(((4, 2, 1, 1), 2, 1), ((2, 1, 4), 3, 2), ((1, 9), 2, 3))
def test_positions_of_sinks(learner, case):
    """the sinks have the positions 0, 1, ... for good, and the others their own"""
    numbering(states(learner, *case), case)


def test_no_sinks_unless_asked_for(learner):
    """without num_sinks no token is held for good"""
    chunks = [tokens(start, length) for start, length in ((0, 3), (3, 1), (4, 2))]
    caches = learner.rolling_update.in_turn(None, *((*chunk, 2) for chunk in chunks)).wait()
    for seen, cache in zip((3, 4, 6), caches, strict=True):
        keys, *_ = unpacked(cache)
        message = "the cache holds other tokens than the last ones"
        numbers(sorted(keys.flatten().tolist()), [8 + seen, 9 + seen], f"keys held after {seen} tokens", message)


def test_cache_of_the_example(learner):
    """the caches of the example"""
    held = ([10, 11, 12], [10, 12, 13], [10, 16, 17])
    for (seen, keys, _, positions, _), wanted in zip(states(learner, (3, 1, 4), 2, 1).wait(), held, strict=True):
        numbers(sorted(keys.flatten().tolist()), wanted, f"keys held after {seen} tokens", "the cache holds other keys")
        places = [key - 10 for key in wanted]
        numbers(sorted(positions.tolist()), places, "their positions", "the cache has other positions")


# ---------------------------------------------------------------------------------- keys, values, positions


@runs(((3, 2, 4, 1), 7), ((9, 2, 1), 7, 2), ((4, 12, 5), 8, 1), ((1, 1, 1, 1, 1, 8), 6, 3))
def test_all_parts(learner, draw, case):
    """keys, values and positions are those of the tokens held, for all entries of the batch and all heads"""
    Sequence(learner, draw, *case[1:]).goes_on(*case[0])


def test_each_dtype(learner, draw):
    """in each dtype the tokens are held as they came"""
    for dtype in DTYPES:
        Sequence(learner, draw, 4, 1, dtype=dtype).goes_on(3, 4, 1)
    for dtype in DTYPES[:2]:  # as numbers of this dtype, positions would be rounded from 257, or 2,049, tokens on
        Sequence(learner, draw, 4, 1, 1, 1, (1, 2), dtype).goes_on(2100, 1)


SIZES = [((3, 3, 3, 3), 3, 3), ((2, 2, 2, 2), 2, 2), ((1, 1, 1, 1), 1, 1), ((4, 3, 2, 2), 3, 2), ((1, 4, 6, 3), 4, 1)]


@pytest.mark.parametrize("sizes", SIZES, ids=lambda s: f"B={s[0][0]}, K={s[0][1]}, window={s[1]}, num_sinks={s[2]}")
def test_other_sizes(learner, draw, sizes):
    """other sizes, and sizes that coincide"""
    (batch, heads, *features), window, num_sinks = sizes
    Sequence(learner, draw, window, num_sinks, batch, heads, features).goes_on(2, 1, window, window + num_sinks, 1)


IN_CHUNKS = {"window=2": (2, 0, 4), "window=3, num_sinks=1": (3, 1, 5)}


@pytest.mark.parametrize(("window", "num_sinks", "tokens"), IN_CHUNKS.values(), ids=IN_CHUNKS)
def test_every_split(learner, draw, window, num_sinks, tokens):
    """every split of a sequence into chunks leaves the same cache"""
    whole = Sequence(learner, draw, window, num_sinks, 1, 2, (1, 1))
    whole.come(*whole.new(tokens))
    caches = {(): None}  # by the lengths of the chunks
    for lengths in splits(tokens):
        end = sum(lengths)
        chunk = whole.keys[:, :, end - lengths[-1] : end], whole.values[:, :, end - lengths[-1] : end]
        caches[lengths] = learner.rolling_update(caches[lengths[:-1]], *chunk, window, num_sinks)
        if end == tokens:
            whole.agrees(caches[lengths], f" after chunks {' + '.join(map(str, lengths))}")


def splits(total):
    """All lengths of chunks of at most so many tokens, each after those that it goes on from."""
    for end in range(1, total + 1):
        for cuts in itertools.product([False, True], repeat=end - 1):
            ends = [0, *(place for place, cut in enumerate(cuts, start=1) if cut), end]
            yield tuple(after - before for before, after in itertools.pairwise(ends))


def test_twenty_steps(learner, draw):
    """twenty single tokens, one after the other"""
    sequence = Sequence(learner, draw, 5, 2, 1, 1, (1, 2))
    sequence.goes_on(*[1] * 20)


# ----------------------------------------------------------------------------------------------- what it is for


@pytest.mark.parametrize("num_sinks", [0, 2], ids="num_sinks={}".format)
def test_chunks_attend_as_one_pass(learner, draw, num_sinks):
    """chunks that attend to the cache and to themselves give what one pass with the mask gives"""
    sequence = Sequence(learner, draw, 3, num_sinks)
    outputs, queries = [], draw(B, K, 14, E)
    for length in (4, 1, 6, 1, 2):
        start, keys, values = sequence.seen, *sequence.new(length)
        keys_seen, values_seen, positions = keys, values, torch.arange(start, start + length)
        if sequence.cache is not None:
            held = unpacked(sequence.cache)
            shaped(held[2], (held[0].size(2),), "the tensor of positions")
            keys_seen, values_seen, positions = (
                torch.cat([part, new], dim=dim)
                for part, new, dim in zip(held, (keys, values, positions), (2, 2, 0), strict=False)
            )
        ahead = torch.arange(start, start + length)[:, None] - positions
        mask = (ahead >= 0) & ((ahead < 3) | (positions < num_sinks))
        chunk = queries[:, :, start : start + length]
        outputs.append(F.scaled_dot_product_attention(chunk, keys_seen, values_seen, mask))
        sequence.cache = learner.rolling_update(*sequence.come(keys, values))
    whole = F.scaled_dot_product_attention(queries, sequence.keys, sequence.values, visible(14, 14, 3, num_sinks))
    close(torch.cat(outputs, dim=2), whole, "the output of the chunks")


def test_two_sequences_in_turns(learner, draw):
    """two sequences have caches of their own"""
    one, other = Sequence(learner, draw, 3, 1), Sequence(learner, draw, 3, 1)
    for lengths in ((4, 2), (1, 5), (2, 1)):
        one.goes_on(lengths[0])
        other.goes_on(lengths[1])


def test_a_cache_is_continued_twice(learner, draw):
    """a caller may go on from one cache twice"""
    sequence = Sequence(learner, draw, 4, 1)
    sequence.takes(6)
    given = sequence.cache, sequence.keys, sequence.values
    for length in (2, 1, 5):
        sequence.cache, sequence.keys, sequence.values = given
        sequence.goes_on(length, 1)


def test_what_is_handed_in_stays_as_it_was(learner, draw):
    """the cache that is handed in, keys and values are left as they were"""
    for lengths in ((2, 1), (5, 1), (6, 3)):
        sequence = Sequence(learner, draw, 4, 1)
        sequence.takes(lengths[0])
        given = sequence.come(*sequence.new(lengths[1]))
        _, (cache, *chunk, _, _), _ = learner.rolling_update.echo(*given)
        parts = zip((*given[0][:3], *given[1:3]), (*cache[:3], *chunk), PARTS, strict=True)
        for was, now, name in parts:
            as_it_was = was.dtype == now.dtype and torch.equal(was, now)
            holds(as_it_was, f"{name} changed in place", "as it was", "other numbers")


def test_update_by_keyword(learner, draw):
    """the arguments of rolling_update are named cache, keys, values, window and num_sinks"""
    sequence = Sequence(learner, draw, 3, 1)
    sequence.takes(5)
    names = ("cache", "keys", "values", "window", "num_sinks")
    given = dict(zip(names, sequence.come(*sequence.new(2)), strict=True))
    sequence.agrees(learner.rolling_update(**given))


def test_strides_do_not_matter(learner, draw):
    """keys and values may lie in memory with their tokens before their heads"""
    sequence = Sequence(learner, draw, 3, 1)
    for length in (2, 4):
        keys, values = draw(B, length, K, E).transpose(1, 2), draw(B, length, K, EV).transpose(1, 2)
        sequence.cache = learner.rolling_update(*sequence.come(keys, values))
        sequence.agrees(sequence.cache, f" after {sequence.seen} tokens")


def test_a_call_changes_nothing(learner, draw):
    """a call leaves PyTorch's settings as they were"""
    keys, values = draw(B, K, 3, E), draw(B, K, 3, EV)
    for changed in (learner.window_mask.changes(3, 5, 2, 1), learner.rolling_update.changes(None, keys, values, 2)):
        holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))
