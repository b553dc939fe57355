"""Grader of a KV cache in pages.

Where a check names no sizes, they are all different, so that an axis that is taken for another shows. The pages of a
row are neither in order nor beside each other. Slots that are not written hold random numbers: NaN in their place has
checks of its own.
"""

import math
from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F

from grading.candidate.pending import on_arrival
from grading.examination.checks import close, close_each, holds, numbers, precise, raises, shaped, typed
from katas.attention.layer_rules import named, short

# how far an output of that dtype may be off
HALF = {torch.float16: 5e-3, torch.bfloat16: 2e-2, torch.float32: 1e-5, torch.float64: 5e-6}
MEANS = "the output is not the mean of the values of the tokens that a query sees"


@dataclass(frozen=True)
class Cache:
    """A pool, and the rows in it."""

    keys: torch.Tensor
    values: torch.Tensor
    table: torch.Tensor
    lengths: torch.Tensor

    @property
    def page(self):
        return self.keys.size(1)

    def place(self, row, token):
        """The page of the pool and the slot in it."""
        return int(self.table[row, token // self.page]), token % self.page

    def written(self, keys, values):
        """What the pool holds after the new tokens."""
        pools = self.keys.clone(), self.values.clone()
        for row, length in enumerate(self.lengths.tolist()):
            for i in range(keys.size(2)):
                page, slot = self.place(row, length + i)
                pools[0][page, slot], pools[1][page, slot] = keys[row, :, i], values[row, :, i]
        return pools

    def tokens(self, row):
        """The keys and values of a row, (K, S, E) each."""
        places = [self.place(row, token) for token in range(int(self.lengths[row]))]
        pages, slots = (torch.tensor(part) for part in zip(*places, strict=True))
        return tuple(pool[pages, slots].transpose(0, 1) for pool in (self.keys, self.values))

    def attended(self, query):
        """The output by PyTorch's own function, in float64."""
        rows = []
        for row in range(query.size(0)):
            key, value = (part.double() for part in self.tokens(row))
            L, S = query.size(2), key.size(1)
            mask = torch.arange(S) <= torch.arange(L)[:, None] + S - L
            heads = F.scaled_dot_product_attention(
                query[row : row + 1].double(), key[None], value[None], mask, enable_gqa=True
            )
            rows.append(heads)
        return torch.cat(rows)

    def to(self, dtype):
        return replace(self, keys=self.keys.to(dtype), values=self.values.to(dtype))

    @property
    def all(self):
        return self.keys, self.values, self.table, self.lengths


def scattered(rows, entries):
    """The table of rows whose pages are neither in order nor beside each other, and the number of pages."""
    pages = rows * entries + 2
    pages += pages % 7 == 0
    return torch.tensor([(7 * i + 3) % pages for i in range(rows * entries)]).view(rows, entries), pages


def cached(draw, lengths=(5, 2, 9), entries=3, page=4, kv_heads=2, head_dim=3):
    """A pool of random numbers."""
    table, pages = scattered(len(lengths), entries)
    shape = pages, page, kv_heads, head_dim
    return Cache(draw(*shape), draw(*shape), table, torch.tensor(lengths))


def plain(table, lengths, pool, page):
    """A pool of one head and one feature: its values as they lie in memory, and keys of zero."""
    values = torch.tensor(pool).double().view(-1, page, 1, 1)
    return Cache(torch.zeros_like(values), values, torch.tensor(table), torch.tensor(lengths))


def new(draw, cache, length):
    """Keys and values of new tokens."""
    shape = cache.table.size(0), cache.keys.size(2), length, cache.keys.size(3)
    return draw(*shape), draw(*shape)


@on_arrival
def pools_are(left, wanted):
    """What write left in the pool. NaN where it is wanted, and there alone."""
    for name, got, right in zip(("key_pages", "value_pages"), left, wanted, strict=False):
        shaped(got, tuple(right.shape), name)
        typed(got, right.dtype, name)
        blank = right.isnan()
        holds(bool(got[blank].isnan().all()), f"{name} was written to where nothing belongs")
        close(got.masked_fill(blank, 0.0), right.masked_fill(blank, 0.0), name)


def goes_in(learner, cache, keys, values):
    """The pool with the new tokens is as it should be."""
    pools_are(learner.write.effect(*cache.all, keys, values), cache.written(keys, values))


# -------------------------------------------------------------------------------- write: where a token goes


def test_written_in_place(learner, draw):
    """write puts the new tokens into the pool that is handed in"""
    cache = cached(draw)
    left = learner.write.effect(*cache.all, *new(draw, cache, 1)).wait()
    for name, was, now in zip(("key_pages", "value_pages"), cache.all, left, strict=False):
        same = was.shape == now.shape and torch.equal(was, now)
        holds(not same, f"{name} is as it was before: write into the tensor that is handed in", "new tokens in it", "")


def puts(learner, table, lengths, tokens, pages, page, meaning, message):
    """New tokens by their numbers, a list for each row, and the pool of zeros after them, as it lies in memory."""
    cache = plain(table, lengths, [0.0] * (pages * page), page)
    given = torch.tensor(tokens).double()[:, None, :, None]
    pool = learner.write.effect(*cache.all, given, given).wait()[0]
    shaped(pool, (pages, page, 1, 1), "key_pages")
    numbers(pool.flatten().tolist(), cache.written(given, given)[0].flatten().tolist(), meaning, message)


@pytest.mark.parametrize("written", [0, 2, 3], ids="lengths={}".format)
def test_slot(learner, written):
    """a new token goes into the slot behind those that are written"""
    message = "the new token is not in the slot behind those that are written"
    puts(learner, [[0]], [written], [[7.0]], 1, 4, "the slots of the page", message)


@pytest.mark.parametrize("written", [0, 3, 4], ids="lengths={}".format)
def test_page(learner, written):
    """the page that a token goes into is the one that the table names"""
    message = "the new token is not in the page that the table names"
    puts(learner, [[2, 0, 3]], [written], [[7.0]], 4, 2, "the slots of pages 0..3", message)


def test_pages_of_each_row(learner):
    """each row writes into pages of its own"""
    message = "the new tokens are not in the pages of their rows"
    puts(learner, [[2], [0], [3]], [1, 1, 1], [[5.0], [6.0], [7.0]], 4, 2, "the slots of pages 0..3", message)


def test_length_of_each_row(learner):
    """each row goes on behind its own tokens"""
    message = "the new tokens are not behind those of their rows"
    puts(learner, [[0], [1], [2]], [1, 2, 0], [[5.0], [6.0], [7.0]], 3, 3, "the slots of pages 0..2", message)


def test_several_tokens(learner):
    """several new tokens go into one slot after the other"""
    message = "the new tokens are not one behind the other"
    puts(learner, [[0]], [1], [[5.0, 6.0, 7.0]], 1, 5, "the slots of the page", message)


@pytest.mark.parametrize(("written", "tokens"), [(2, 3), (1, 3), (3, 2)], ids=["2 written", "1 written", "3 written"])
def test_end_of_a_page(learner, written, tokens):
    """tokens that reach the end of a page go on in the next page of the table"""
    message = "the new tokens do not go on in the next page of the table"
    given = [float(7 + i) for i in range(tokens)]
    puts(learner, [[2, 0]], [written], [given], 4, 3, "the slots of pages 0..3", message)


def test_several_pages(learner):
    """a call may fill several pages, and each row begins where it is"""
    message = "the new tokens are not in the pages of their rows"
    given = [[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]]
    puts(learner, [[3, 0, 5], [4, 6, 1]], [1, 0], given, 7, 2, "the slots of pages 0..6", message)


def test_values_go_where_keys_go(learner):
    """values are written as keys are, at the same place"""
    cache = plain([[0]], [1], [0.0] * 4, 4)
    keys, values = torch.tensor([[[[5.0]]]]).double(), torch.tensor([[[[8.0]]]]).double()
    left = learner.write.effect(*cache.all, keys, values).wait()
    for pool, name in zip(left, ("key_pages", "value_pages"), strict=False):
        shaped(pool, (1, 4, 1, 1), name)
    found = [number for pool in left[:2] for number in pool.flatten().tolist()]
    numbers(
        found, [0, 5, 0, 0, 0, 8, 0, 0], "the slots of the keys, then of the values", "they are not where they belong"
    )


def test_heads_and_features(learner, draw):
    """the keys of a token's heads stay together, as (K, E)"""
    cache = cached(draw, [1], 1, 5)
    keys, values = new(draw, cache, 3)
    left = learner.write.effect(*cache.all, keys, values).wait()
    page, _ = cache.place(0, 0)
    for name, pool, right in zip(("key_pages", "value_pages"), left, (keys, values), strict=False):
        shaped(pool, tuple(cache.keys.shape), name)
        close(pool[page, 1:4], right[0].transpose(0, 1), f"{name}, in the slots of the new tokens")


@pytest.mark.parametrize("length", [1, 3], ids="L={}".format)
def test_other_slots_stay(learner, draw, length):
    """all other slots of the pool stay as they are"""
    cache = cached(draw)
    keys, values = new(draw, cache, length)
    left = learner.write.effect(*cache.all, keys, values).wait()
    new_ones = torch.zeros(cache.keys.shape[:2], dtype=torch.bool)
    for row, start in enumerate(cache.lengths.tolist()):
        for token in range(start, start + length):
            new_ones[cache.place(row, token)] = True
    for name, was, now in zip(("key_pages", "value_pages"), cache.all, left, strict=False):
        shaped(now, tuple(was.shape), name)
        close(now[~new_ones], was[~new_ones], f"{name}, in the slots that are not of the new tokens,")


# -------------------------------------------------------------------------------------- write: numbers

# lengths before the call, L, N, page, K, E: all different, then the sizes that coincide, and a page of one slot
WRITES = [((5, 2, 9), 3, 3, 4, 2, 5), ((0, 7), 6, 5, 3, 4, 2), ((3, 3, 3, 3), 4, 4, 4, 4, 4), ((1,), 2, 2, 2, 1, 1)]
WRITES += [((2, 0), 3, 5, 1, 2, 3), ((0, 0, 0), 8, 2, 8, 3, 2)]


@pytest.mark.parametrize("size", WRITES, ids=named("lengths", "L", "N", "page", "K", "E"))
def test_written_numbers(learner, draw, size):
    """keys and values lie where the table says, whatever the sizes are"""
    lengths, length, entries, page, kv_heads, head_dim = size
    cache = cached(draw, lengths, entries, page, kv_heads, head_dim)
    goes_in(learner, cache, *new(draw, cache, length))


def test_full_table(learner, draw):
    """the tokens may fill all the pages of a row, to the last slot"""
    cache = cached(draw, (8, 2, 9), 3, 4)
    goes_in(learner, cache, *new(draw, cache, 3))
    cache = cached(draw, (0, 0), 2, 3)
    goes_in(learner, cache, *new(draw, cache, 6))


def test_token_by_token(learner, draw):
    """token by token the pool becomes what one call makes of it"""
    cache = cached(draw, (3, 0), 3, 3)
    keys, values = new(draw, cache, 4)
    wanted, left = cache.written(keys, values), cache.all
    for key, value in zip(keys.split(1, dim=2), values.split(1, dim=2), strict=True):
        left = learner.write.effect(*left[:2], cache.table, cache.lengths, key, value).wait()
        cache = replace(cache, lengths=cache.lengths + 1)
    pools_are(left, wanted)


def test_writing_behind_a_shared_page(learner, draw):
    """rows that share their first page write behind it, each into pages of its own"""
    cache = cached(draw, (4, 6, 5), 3, 4)
    cache.table[:, 0] = cache.table[1, 0]
    goes_in(learner, cache, *new(draw, cache, 3))


def unneeded(cache, needed, value):
    """The entries of each row's table behind so many are that number, or all the row's first page."""
    for row, entries in zip(cache.table, needed, strict=True):
        row[entries:] = row[0].item() if value == "a page in use" else value


@pytest.mark.parametrize("value", [-1, 1000, "a page in use"], ids=str)
def test_writing_beside_unused_entries(learner, draw, value):
    """entries of the table behind the tokens may be any number when tokens are written"""
    cache = cached(draw, (5, 2, 0), 4, 4)
    unneeded(cache, (2, 2, 1), value)
    goes_in(learner, cache, *new(draw, cache, 3))


def test_writing_beside_nan(learner, draw):
    """the other slots of the pool may hold NaN, and keep it"""
    cache = cached(draw)
    cache.keys[:], cache.values[:] = math.nan, math.nan
    goes_in(learner, cache, *new(draw, cache, 3))


def test_writing_leaves_the_rest(learner, draw):
    """write leaves block_table, lengths, keys and values as they were"""
    cache = cached(draw)
    cache.table[0, 2], cache.table[1, 1:] = 1000, -1
    given = (*cache.all, *new(draw, cache, 2))
    after = learner.write.effect(*given).wait()
    names = ("key_pages", "value_pages", "block_table", "lengths", "keys", "values")
    for name, was, now in list(zip(names, given, after, strict=True))[2:]:
        kept = was.dtype == now.dtype and torch.equal(was, now)
        holds(kept, f"write changes {name}", "as it was", "other numbers")


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_writing_in_each_dtype(learner, draw, dtype):
    """tokens in float16, bfloat16 and float32 are written as they are"""
    cache = cached(draw).to(dtype)
    goes_in(learner, cache, *(part.to(dtype) for part in new(draw, cache, 3)))


def test_writing_with_other_strides(learner, draw):
    """a pool with its heads before its slots in memory is written in place too"""
    cache = cached(draw)
    across = [pool.transpose(1, 2).contiguous().transpose(1, 2) for pool in cache.all[:2]]
    keys, values = (part.transpose(1, 2).contiguous().transpose(1, 2) for part in new(draw, cache, 3))
    pools_are(learner.write.effect(*across, *cache.all[2:], keys, values), cache.written(keys, values))


def test_writing_by_keyword(learner, draw):
    """the arguments of write have the names of the contract"""
    cache = cached(draw)
    names = ("key_pages", "value_pages", "block_table", "lengths", "keys", "values")
    keys, values = new(draw, cache, 3)
    given = dict(zip(names, (*cache.all, keys, values), strict=True))
    pools_are(learner.write.effect(**given), cache.written(keys, values))


@pytest.mark.parametrize(
    "sizes", [((5, 4), 4, 2, 4), ((0,), 7, 3, 2), ((1, 6), 1, 2, 3)], ids=named("lengths", "L", "N", "page")
)
def test_what_does_not_fit_is_an_error(learner, draw, sizes):
    """ValueError when the tokens of a row do not fit into its pages"""
    lengths, length, entries, page = sizes
    cache = cached(draw, lengths, entries, page)
    call = f"write with L={length} and lengths {lengths}, N={entries} and page={page},"
    raises("ValueError", lambda: learner.write.effect(*cache.all, *new(draw, cache, length)).wait(), call)


def test_what_does_not_fit_is_seen_first(learner, draw):
    """nothing is written where the tokens of a row do not fit"""
    cache = cached(draw, (1, 3, 5), 2, 3)
    call = "write with L=2 and lengths (1, 3, 5), N=2 and page=3,"
    refused = raises("ValueError", lambda: learner.write.effect(*cache.all, *new(draw, cache, 2)).wait(), call)
    for name, was, now in zip(("key_pages", "value_pages"), cache.all, refused.left, strict=False):
        shaped(now, tuple(was.shape), name)
        holds(torch.equal(was, now), f"{name} was written to before the error", "as it was", "new tokens in it")


def test_writing_changes_nothing_else(learner, draw):
    """a call of write leaves PyTorch's settings as they were"""
    cache = cached(draw)
    changed = learner.write.changes(*cache.all, *new(draw, cache, 2))
    holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))


# ---------------------------------------------------------------------- paged_attention: shape, dtype, tokens


def asked(learner, query, cache):
    return learner.paged_attention.ahead(query, *cache.all)


@pytest.mark.parametrize("size", [(3, 6, 2), (2, 2, 1), (1, 4, 5)], ids=named("B", "H", "L"))
def test_output_shape(learner, draw, size):
    """paged_attention returns (B, H, L, E)"""
    cache = cached(draw, (5, 9, 7)[: size[0]])
    shaped(asked(learner, draw(*size, 3), cache), (*size, 3))


@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_output_dtype(learner, draw, dtype):
    """the output has the dtype of the query"""
    typed(asked(learner, draw(3, 6, 2, 3, dtype=dtype), cached(draw).to(dtype)), dtype)


def test_a_token_alone(learner, draw):
    """a token alone gets its own value"""
    cache = cached(draw, (1, 1))
    wanted = torch.stack([cache.tokens(row)[1] for row in range(2)])
    close(asked(learner, draw(2, 2, 1, 3), cache), wanted)


def means(learner, cache, length, wanted, meaning):
    """Queries that see all tokens alike, since the keys are zero: means of values, a list for each row."""
    rows = cache.table.size(0)
    output = learner.paged_attention(torch.ones(rows, 1, length, 1).double(), *cache.all)
    shaped(output, (rows, 1, length, 1))
    numbers(output.flatten().tolist(), [number for row in wanted for number in row], meaning, MEANS)


def test_tokens_up_to_the_length(learner):
    """the tokens of a row are read, up to its length"""
    cache = plain([[0]], [4], [1.0, 2.0, 4.0, 9.0, 100.0, 100.0], 6)
    means(learner, cache, 1, [[4.0]], "(1 + 2 + 4 + 9) / 4; the other slots hold 100")


def test_read_pages(learner):
    """the pages are those that the table names"""
    cache = plain([[2, 0]], [4], [4.0, 9.0, 100.0, 100.0, 1.0, 2.0, 100.0, 100.0], 2)
    means(learner, cache, 1, [[4.0]], "(1 + 2 + 4 + 9) / 4; the other pages hold 100")


def test_read_pages_of_each_row(learner):
    """each row reads pages of its own"""
    cache = plain([[2], [0], [3]], [2, 2, 2], [4.0, 9.0, 100.0, 100.0, 1.0, 2.0, 6.0, 8.0], 2)
    means(learner, cache, 1, [[1.5], [6.5], [7.0]], "(1 + 2) / 2, (4 + 9) / 2, (6 + 8) / 2; the other page holds 100")


def test_read_length_of_each_row(learner):
    """each row is as long as it is"""
    cache = plain([[0], [1], [2]], [2, 3, 1], [1.0, 2.0, 100.0, 4.0, 9.0, 5.0, 7.0, 100.0, 100.0], 3)
    means(learner, cache, 1, [[1.5], [6.0], [7.0]], "(1 + 2) / 2, (4 + 9 + 5) / 3, 7; the other slots hold 100")


def test_page_full_in_part(learner):
    """of the last page only the slots that are written are read"""
    cache = plain([[1, 0]], [3], [9.0, 100.0, 1.0, 2.0], 2)
    means(learner, cache, 1, [[4.0]], "(1 + 2 + 9) / 3; the other slot holds 100")


def test_causal(learner):
    """of several queries each sees the tokens up to its own"""
    cache = plain([[0]], [3], [8.0, 2.0, 11.0], 3)
    means(learner, cache, 3, [[8.0, 5.0, 7.0]], "8, (8 + 2) / 2, (8 + 2 + 11) / 3")


def test_queries_are_the_last(learner):
    """the queries are the last tokens of their row"""
    cache = plain([[0]], [4], [8.0, 2.0, 11.0, 3.0, 100.0], 5)
    means(learner, cache, 2, [[7.0, 6.0]], "(8 + 2 + 11) / 3, (8 + 2 + 11 + 3) / 4")


def test_worked_example(learner):
    """pages come in the order of the table: the example of the contract"""
    cache = plain([[3, 0]], [3], [11.0, 0.0, 0.0, 0.0, 0.0, 0.0, 8.0, 2.0], 2)
    means(learner, cache, 2, [[5.0, 7.0]], "(8 + 2) / 2, (8 + 2 + 11) / 3")


def test_queries_are_the_last_of_each_row(learner):
    """in rows of different length each row's queries are its own last tokens"""
    pool = [1.0, 3.0, 5.0, 11.0, 4.0, 9.0, 2.0, 100.0]
    cache = plain([[0], [1]], [4, 3], pool, 4)
    means(learner, cache, 2, [[3.0, 5.0], [6.5, 5.0]], "means of 3 and 4 tokens, and of 2 and 3 tokens")


@pytest.mark.parametrize("kv_heads", [2, 3], ids="num_kv_heads={}".format)
def test_each_query_head_reads_its_own_kv_head(learner, kv_heads):
    """each query head reads its own kv head"""
    values = torch.arange(kv_heads).double().view(1, 1, kv_heads, 1).expand(2, 3, kv_heads, 2).contiguous()
    cache = Cache(torch.zeros_like(values), values, torch.tensor([[1, 0]]), torch.tensor([4]))
    output = learner.paged_attention(torch.ones(1, 6, 1, 2).double(), *cache.all)
    shaped(output, (1, 6, 1, 2))
    wanted = [head // (6 // kv_heads) for head in range(6)]
    message = "the output of the query heads is not that of their kv heads"
    numbers(output[0, :, 0, 0].tolist(), wanted, "kv head read by query heads 0..5", message)


def test_scale_is_the_root_of_head_dim(learner):
    """the scores are scaled by 1/sqrt(E)"""
    # of two tokens one has a score of zero, and the other one that is ln 3 when it is scaled
    shares = []
    for head_dim in (4, 9, 16):
        keys, values = torch.zeros(1, 2, 1, head_dim).double(), torch.zeros(1, 2, 1, head_dim).double()
        keys[0, 1], values[0, 1] = math.log(3) / math.sqrt(head_dim), 1.0
        cache = Cache(keys, values, torch.tensor([[0]]), torch.tensor([2]))
        output = learner.paged_attention(torch.ones(1, 1, 1, head_dim).double(), *cache.all)
        shaped(output, (1, 1, 1, head_dim))
        shares.append(output[0, 0, 0, 0].item())
    message = "these are not the weights of scores times 1/sqrt(E)"
    numbers(shares, [0.75] * 3, "the larger of two weights, with E = 4, 9 and 16", message)


# ---------------------------------------------------------------------------------- paged_attention: numbers


def reads(learner, draw, cache, heads, length, what="the output"):
    """A call gives PyTorch's numbers."""
    query = draw(cache.table.size(0), heads, length, cache.keys.size(3))
    close(asked(learner, query, cache), cache.attended(query), what)


@pytest.mark.parametrize("length", [1, 2], ids="L={}".format)
def test_one_page(learner, draw, length):
    """tokens of one page give PyTorch's numbers"""
    reads(learner, draw, cached(draw, (5, 3), 1, 7), 6, length)


@pytest.mark.parametrize("length", [1, 5], ids="L={}".format)
def test_rows_of_one_length(learner, draw, length):
    """rows of the same length give PyTorch's numbers"""
    reads(learner, draw, cached(draw, (8, 8, 8), 2), 6, length)


@pytest.mark.parametrize("length", [1, 2, 4], ids="L={}".format)
def test_rows_of_different_lengths(learner, draw, length):
    """rows of different lengths give PyTorch's numbers"""
    reads(learner, draw, cached(draw, (5, 11, 4, 8), 3), 6, length)


# lengths, L, H, N, page, K, E
SIZES = [
    ((6, 3), 3, 4, 3, 2, 4, 5),
    ((5,), 5, 3, 5, 1, 1, 2),
    ((4, 4, 4, 4), 4, 4, 4, 4, 4, 4),
    ((9, 2, 4), 2, 8, 2, 8, 2, 3),
    ((7, 7), 1, 2, 3, 3, 1, 6),
    ((1, 12, 6), 1, 12, 4, 3, 3, 4),
    ((517, 10, 262), 9, 2, 130, 4, 1, 3),  # new tokens go on over token 512, or 256
]


@pytest.mark.parametrize("size", SIZES, ids=named("lengths", "L", "H", "N", "page", "K", "E"))
def test_other_sizes(learner, draw, size):
    """other numbers of heads and pages give PyTorch's numbers, and so do sizes that coincide"""
    lengths, length, heads, entries, page, kv_heads, head_dim = size
    reads(learner, draw, cached(draw, lengths, entries, page, kv_heads, head_dim), heads, length)


def test_a_shared_page(learner, draw):
    """a page that rows share is read by each of them"""
    cache = cached(draw, (6, 9, 7, 5, 4), 3)
    cache.table[:, 0] = cache.table[1, 0]
    cache.table[2:, 1] = cache.table[0, 1]  # in which each row ends at a place of its own
    reads(learner, draw, cache, 6, 2)


@pytest.mark.parametrize("value", [-1, 1000, "a page in use"], ids=str)
def test_unused_entries(learner, draw, value):
    """entries of the table behind the tokens may be any number"""
    cache = cached(draw, (5, 8, 1), 4)
    unneeded(cache, (2, 2, 1), value)
    reads(learner, draw, cache, 6, 1)


def without(cache, number):
    """The same tokens, with a number in the place of all that is not written."""
    keys, values = torch.full_like(cache.keys, number), torch.full_like(cache.values, number)
    for row, length in enumerate(cache.lengths.tolist()):
        for token in range(length):
            at = cache.place(row, token)
            keys[at], values[at] = cache.keys[at], cache.values[at]
    return replace(cache, keys=keys, values=values)


@pytest.mark.parametrize("length", [1, 2], ids="L={}".format)
def test_large_numbers_in_free_slots(learner, draw, length):
    """what free slots and pages hold does not count, however large"""
    reads(learner, draw, without(cached(draw), 1e4), 6, length)


@pytest.mark.parametrize("length", [1, 2], ids="L={}".format)
def test_nan_in_free_slots(learner, draw, length):
    """free slots and pages may hold NaN"""
    reads(learner, draw, without(cached(draw, (5, 8, 2)), math.nan), 6, length)


def test_reading_changes_nothing(learner, draw):
    """paged_attention leaves the pool, and all else that is handed in, as it was"""
    caches = cached(draw), cached(draw), without(cached(draw), math.nan)
    caches[1].table[0, 2], caches[1].table[1, 1:] = 1000, -1
    for cache in caches:
        given = (draw(3, 6, 2, 3), *cache.all)
        _, after, _ = learner.paged_attention.echo(*given)
        for name, was, now in zip(
            ("query", "key_pages", "value_pages", "block_table", "lengths"), given, after, strict=True
        ):
            kept = was.dtype == now.dtype and torch.equal(was.nan_to_num(0.5), now.nan_to_num(0.5))
            holds(kept, f"paged_attention changes {name}", "as it was", "other numbers")


def test_reading_by_keyword(learner, draw):
    """the arguments of paged_attention have the names of the contract"""
    cache, query = cached(draw), draw(3, 6, 2, 3)
    names = ("query", "key_pages", "value_pages", "block_table", "lengths")
    given = dict(zip(names, (query, *cache.all), strict=True))
    close(learner.paged_attention.ahead(**given), cache.attended(query))


def test_reading_with_other_strides(learner, draw):
    """a pool with its heads before its slots in memory is read too, and so is a query with its tokens first"""
    cache, query = cached(draw), draw(3, 2, 6, 3).transpose(1, 2)
    across = [pool.transpose(1, 2).contiguous().transpose(1, 2) for pool in cache.all[:2]]
    close(learner.paged_attention.ahead(query, *across, *cache.all[2:]), cache.attended(query))


def test_calls_do_not_depend_on_each_other(learner, draw):
    """lengths and tables may be others in the next call, in the same memory too"""
    caches = [cached(draw, lengths) for lengths in ((5, 2, 9), (3, 11, 4), (12, 2, 2))]
    caches[1].table.copy_(caches[1].table.flip(0))
    calls = [(draw(3, 6, 2, 3), *cache.all) for cache in caches]
    wanted = [cache.attended(query) for cache, (query, *_) in zip(caches, calls, strict=True)]
    for reuse in (False, True):
        close_each(learner.paged_attention.several(*calls, reuse=reuse), wanted)


def test_reading_changes_nothing_else(learner, draw):
    """a call of paged_attention leaves PyTorch's settings as they were"""
    changed = learner.paged_attention.changes(draw(3, 6, 2, 3), *cached(draw).all)
    holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))


# ------------------------------------------------------------------------------------------------ precision


@pytest.mark.parametrize("dtype", list(HALF)[:3], ids=short)
def test_numbers_in_each_dtype(learner, draw, dtype):
    """the numbers are right in float16, bfloat16 and float32"""
    cache, query = cached(draw).to(dtype), draw(3, 6, 2, 3, dtype=dtype)
    close(asked(learner, query, cache), cache.attended(query).to(dtype), tolerance=HALF[dtype])


@pytest.mark.parametrize("dtype", list(HALF)[:2], ids=short)
def test_half_inputs_are_worked_on_in_float32(learner, draw, dtype):
    """half inputs are worked on in float32: large scores keep their digits"""
    cache, query = cached(draw, (29, 40), 10, 4, 2, 8), draw(2, 4, 3, 8, scale=8.0, dtype=dtype)
    # the scores of a query are all far from zero, and near each other
    cache = replace(cache, keys=cache.keys / 4 + 4, values=cache.values * 8).to(dtype)
    close(asked(learner, query, cache), cache.attended(query).to(dtype), tolerance=HALF[dtype] / 4)
    # keys at a right angle to the query, of different lengths: their scores are sums of large products, and all zero
    cache, query = cached(draw, kv_heads=1, head_dim=6).to(dtype), draw(3, 1, 1, 6, scale=8.0, dtype=dtype)
    across = torch.cat([-query[..., 3:], query[..., :3]], dim=-1)
    for row, table in enumerate(cache.table):
        cache.keys[table] = torch.tensor([8, -16, 16, -8], dtype=dtype).view(4, 1, 1) * across[row, 0]
    close(asked(learner, query, cache), cache.attended(query).to(dtype), tolerance=HALF[dtype])


@pytest.mark.parametrize("sign", [1, -1], ids=["+1e5", "-1e5"])
@pytest.mark.parametrize("dtype", HALF, ids=short)
def test_large_scores_are_safe(learner, dtype, sign):
    """scores of 1e5 are safe, above and below zero"""
    keys = 250 * torch.tensor([0.75, 1.0, 0.875, 1.0]).view(2, 2, 1, 1)
    values = torch.tensor([1.0, 2.0, 4.0, 8.0]).view(2, 2, 1, 1)
    cache = Cache(keys, values, torch.tensor([[1, 0]]), torch.tensor([4])).to(dtype)
    output = learner.paged_attention(torch.full((1, 1, 1, 1), sign * 400.0, dtype=dtype), *cache.all)
    shaped(output, (1, 1, 1, 1))
    numbers([output.item()], [5.0 if sign > 0 else 1.0], "the value of the largest score", "large scores are not safe")


def test_float64_precision(learner, draw):
    """float64 in, float64 precision out"""
    cache, query = cached(draw, (5, 9), 3, 4, 2, 5), draw(2, 6, 3, 5)  # the root of 5 is no float32
    precise(asked(learner, query, cache), cache.attended(query))
