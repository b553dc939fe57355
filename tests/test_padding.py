"""Grader of padding masks and positions.

Where a check names no sizes, B, L and S all differ, so that an axis that is taken for another shows.
"""

import pytest
import torch
import torch.nn.functional as F

from grading.candidate.pending import on_arrival
from grading.examination.checks import close, holds, same, shaped, typed
from katas.attention.layer_rules import short

BOTH = ["left", "right"]
# S and the pads of each row: B = S, B = 1, S = 1, B = S = 1
SIZES = [(4, [0, 2, -1, 1]), (5, [3]), (1, [0, 1, 0]), (1, [0])]
DTYPES = [torch.bool, torch.int64, torch.uint8, torch.float32, torch.float16]
# lengths that a number of the dtype cannot hold, or not exactly
LONG = {torch.bool: 3000, torch.float16: 2200, torch.bfloat16: 700, torch.uint8: 300, torch.int8: 200}


def padded(length, *pads, dtype=torch.int64):
    """An attention mask: a row for each number of pads, which are on the left, or on the right where it is negative."""
    slots = torch.arange(length)
    rows = [slots >= pad if pad >= 0 else slots < length + pad for pad in pads]
    return torch.stack(rows).to(dtype)


def at(side, *pads):
    return pads if side == "left" else tuple(-pad for pad in pads)


def positions(mask):
    """Slot by slot: how many real tokens stand before it; 0 for a pad."""
    rows = mask.bool().tolist()
    return torch.tensor([[sum(row[:i]) if real else 0 for i, real in enumerate(row)] for row in rows])


def lower_right(query_len, key_len):
    return torch.arange(key_len) <= torch.arange(query_len)[:, None] + key_len - query_len


def visible(mask, query_len=None):
    """Key by key: it is real, and not later than the query."""
    length = mask.size(-1)
    return (mask.bool()[:, None, :] & lower_right(query_len or length, length))[:, None]


@on_arrival
def placed(got, wanted, only=None):
    """The positions; `only` says of which slots, as many in each row."""
    shaped(got, tuple(wanted.shape), "the tensor of positions")
    typed(got, torch.int64, "the tensor of positions")
    if only is not None:
        got, wanted = (each[only].view(len(only), -1) for each in (got, wanted))
    same(got, wanted, "the tensor of positions")


@on_arrival
def allowed(got, wanted, only=None):
    """The mask, a row of the batch after the other, as each is drawn by itself; `only` says which queries."""
    shaped(got, tuple(wanted.shape), "the mask")
    typed(got, torch.bool, "the mask")
    for row, (mask, right) in enumerate(zip(got, wanted, strict=True)):
        chosen = slice(None) if only is None else only[row]
        same(mask[0][chosen], right[0][chosen], f"the mask of row {row}" if len(wanted) > 1 else "the mask")


@on_arrival
def exact(got, wanted, what):
    """Tensors too large to be drawn: the first place in which they differ."""
    shaped(got, tuple(wanted.shape), what)
    typed(got, wanted.dtype, what)
    wrong = (got != wanted).nonzero().tolist()
    if wrong:
        place = wrong[0]
        right, had = (each[tuple(place)].item() for each in (wanted, got))
        count = f"{len(wrong)} of {wanted.numel()} numbers differ"
        holds(False, f"{what} differs", f"{right} at {place}", f"{had} at {place}; {count}")


# ------------------------------------------------------------------------------------------------- positions


def test_shape_of_positions(learner):
    """the positions have the shape (B, S)"""
    shaped(learner.position_ids.ahead(padded(5, 1, 0)), (2, 5), "the tensor of positions")


def test_dtype_of_positions(learner):
    """the positions are int64"""
    typed(learner.position_ids.ahead(padded(5, 2, 0, -1)), torch.int64, "the tensor of positions")


def test_positions_without_padding(learner):
    """without padding the positions are 0, 1, 2, ..."""
    mask = padded(6, 0, 0)
    placed(learner.position_ids.ahead(mask), positions(mask))


@pytest.mark.parametrize("side", BOTH, ids="padding on the {}".format)
def test_real_tokens_are_counted(learner, side):
    """the position of a real token is the number of real tokens before it"""
    mask = padded(6, *at(side, 2, 2))
    placed(learner.position_ids.ahead(mask), positions(mask), mask.bool())


@pytest.mark.parametrize("side", BOTH, ids="padding on the {}".format)
def test_pads_have_position_0(learner, side):
    """the position of a pad is 0"""
    mask = padded(7, *at(side, 3, 3))
    placed(learner.position_ids.ahead(mask), positions(mask), ~mask.bool())


@pytest.mark.parametrize("side", BOTH, ids="padding on the {}".format)
def test_each_row_has_positions_of_its_own(learner, side):
    """each row of the batch has positions of its own"""
    mask = padded(5, *at(side, 0, 3, 1))
    placed(learner.position_ids.ahead(mask), positions(mask))


def test_positions_of_both_sides(learner):
    """one row may be padded on the left and another on the right"""
    mask = padded(5, 2, 0, -2)
    placed(learner.position_ids.ahead(mask), torch.tensor([[0, 0, 0, 1, 2], [0, 1, 2, 3, 4], [0, 1, 2, 0, 0]]))


def test_positions_of_a_row_of_pads(learner):
    """a row that is all padding has positions 0"""
    mask = padded(4, 1, 4, 0, -4, -2)
    placed(learner.position_ids.ahead(mask), positions(mask))


@pytest.mark.parametrize("dtype", DTYPES, ids=short)
def test_positions_of_each_dtype(learner, dtype):
    """the positions are the same whatever dtype the attention mask has"""
    for mask in (padded(6, 2, -3, 0, dtype=dtype), padded(4, 4, -4, dtype=dtype)):
        placed(learner.position_ids.ahead(mask), positions(mask))


def test_positions_of_other_sizes(learner):
    """positions of other sizes, and where sizes coincide"""
    for length, pads in SIZES:
        mask = padded(length, *pads, dtype=torch.bool)
        placed(learner.position_ids.ahead(mask), positions(mask))


def random_pads(draw, count, length):
    """Random numbers of pads on random sides."""
    return draw(count, scale=length / 2).round().clamp(-length, length).int().tolist()


def test_positions_of_random_rows(learner, draw):
    """the positions of random batches"""
    for count, length in ((5, 8), (8, 5), (6, 6)):
        mask = padded(length, *random_pads(draw, count, length))
        placed(learner.position_ids.ahead(mask), positions(mask))


def test_positions_of_long_rows(learner):
    """the positions of long rows are exact whatever dtype the attention mask has"""
    for dtype, length in LONG.items():
        ramp = torch.arange(length)
        wanted = torch.stack([ramp, (ramp - 7).clamp_min(0), ramp.where(ramp < length - 9, 0)])
        given = padded(length, 0, 7, -9, dtype=dtype)
        exact(learner.position_ids.ahead(given), wanted, "the tensor of positions")


def test_positions_by_keyword(learner):
    """the argument of position_ids is named attention_mask"""
    mask = padded(5, 2, -1)
    placed(learner.position_ids.ahead(attention_mask=mask), positions(mask))


def test_positions_of_a_transposed_mask(learner):
    """a transposed and an expanded attention mask have positions, too"""
    for mask in (padded(5, 2, -1, 0).T.contiguous().T, padded(5, 2).expand(3, 5)):
        placed(learner.position_ids.ahead(mask), positions(mask))


def untouched(mask, after):
    as_it_was = after.dtype == mask.dtype and torch.equal(mask, after)
    holds(as_it_was, "attention_mask was modified in place", "as it was", "other values")


def test_positions_leave_the_mask(learner):
    """position_ids does not modify the attention mask"""
    for dtype in (torch.int64, torch.bool):
        mask = padded(5, 2, 0, -1, dtype=dtype)
        _, (after,), _ = learner.position_ids.echo(mask)
        untouched(mask, after)


# ------------------------------------------------------------------------------------------------- the mask


def test_shape_of_the_mask(learner):
    """without query_len the mask has the shape (B, 1, S, S)"""
    shaped(learner.padding_causal_mask.ahead(padded(5, 1, 0)), (2, 1, 5, 5), "the mask")


@pytest.mark.parametrize("query_len", [2, 1], ids="query_len={}".format)
def test_shape_with_query_len(learner, query_len):
    """with query_len the mask has the shape (B, 1, query_len, S)"""
    shaped(learner.padding_causal_mask.ahead(padded(5, 2, 0, -1), query_len), (3, 1, query_len, 5), "the mask")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool], ids=short)
def test_mask_is_boolean(learner, dtype):
    """the mask is boolean"""
    typed(learner.padding_causal_mask.ahead(padded(5, 2, 0, -1, dtype=dtype)), torch.bool, "the mask")


def test_mask_without_padding(learner):
    """without padding a query sees itself and what came before it"""
    mask = padded(5, 0, 0)
    allowed(learner.padding_causal_mask.ahead(mask), visible(mask))


@pytest.mark.parametrize("query_len", [2, 1, 4], ids="query_len={}".format)
def test_queries_are_the_last_slots(learner, query_len):
    """with fewer queries than keys, the queries are the last slots"""
    mask = padded(5, 0, 0)
    allowed(learner.padding_causal_mask.ahead(mask, query_len), visible(mask, query_len))


@pytest.mark.parametrize("side", BOTH, ids="padding on the {}".format)
def test_a_pad_is_not_seen(learner, side):
    """a real token sees the real tokens up to itself and no pad"""
    mask = padded(6, *at(side, 2, 2))
    allowed(learner.padding_causal_mask.ahead(mask), visible(mask), mask.bool())


def test_a_pad_on_the_left_sees_nothing(learner):
    """a query that is a pad on the left sees nothing, not even itself"""
    mask = padded(6, 3, 3)
    allowed(learner.padding_causal_mask.ahead(mask), visible(mask), ~mask.bool())


def test_a_pad_on_the_right_sees_real_tokens(learner):
    """a query that is a pad on the right sees the real tokens before it"""
    mask = padded(6, -2, -2)
    allowed(learner.padding_causal_mask.ahead(mask), visible(mask), ~mask.bool())


@pytest.mark.parametrize("side", BOTH, ids="padding on the {}".format)
def test_each_row_has_a_mask_of_its_own(learner, side):
    """each row of the batch has a mask of its own"""
    mask = padded(5, *at(side, 0, 3, 1))
    allowed(learner.padding_causal_mask.ahead(mask), visible(mask))


def test_mask_of_both_sides(learner):
    """the mask of a row padded on the left, one without padding and one padded on the right"""
    mask = padded(5, 2, 0, -2)
    allowed(learner.padding_causal_mask.ahead(mask), visible(mask))


@pytest.mark.parametrize("query_len", [1, 3], ids="query_len={}".format)
def test_last_queries_of_padded_rows(learner, query_len):
    """with query_len the pads among the keys are hidden, too"""
    mask = padded(6, 2, 0, -2, -4)
    allowed(learner.padding_causal_mask.ahead(mask, query_len), visible(mask, query_len))


def test_query_len_equal_to_key_len(learner):
    """query_len may be given and equal S"""
    mask = padded(5, 2, 0, -2)
    allowed(learner.padding_causal_mask.ahead(mask, 5), visible(mask))


def test_mask_of_a_row_of_pads(learner):
    """in a row that is all padding no query sees anything"""
    mask = padded(4, 1, 4, 0, -4, -2)
    allowed(learner.padding_causal_mask.ahead(mask), visible(mask))


@pytest.mark.parametrize("dtype", DTYPES, ids=short)
def test_mask_of_each_dtype(learner, dtype):
    """the mask is the same whatever dtype the attention mask has"""
    for mask in (padded(6, 2, -3, 0, dtype=dtype), padded(4, 4, -4, dtype=dtype)):
        allowed(learner.padding_causal_mask.ahead(mask, 4), visible(mask, 4))


def test_mask_of_other_sizes(learner):
    """the mask of other sizes, and where sizes coincide"""
    for length, pads in SIZES:
        mask = padded(length, *pads, dtype=torch.bool)
        allowed(learner.padding_causal_mask.ahead(mask), visible(mask))


def test_mask_of_random_rows(learner, draw):
    """the mask of random batches"""
    for count, length, query_len in ((5, 8, 3), (3, 5, 3), (4, 7, 4), (6, 6, 6)):
        mask = padded(length, *random_pads(draw, count, length))
        allowed(learner.padding_causal_mask.ahead(mask, query_len), visible(mask, query_len))


def test_mask_of_long_rows(learner):
    """the mask of some hundreds of slots"""
    for length, query_len in ((300, 20), (1100, 3)):
        mask = padded(length, 7, -9)
        exact(learner.padding_causal_mask.ahead(mask, query_len), visible(mask, query_len), "the mask")


def test_mask_of_long_rows_of_each_dtype(learner):
    """the mask of long rows is exact whatever dtype the attention mask has"""
    for dtype, length in LONG.items():
        given = padded(length, 0, 7, -9, dtype=dtype)
        exact(learner.padding_causal_mask.ahead(given, 5), visible(given, 5), "the mask")


# ----------------------------------------------------------------------------------------------- what it is for


@pytest.mark.parametrize("side", BOTH, ids="padding on the {}".format)
def test_attention_of_a_padded_batch(learner, draw, side):
    """with the mask, attention over a padded batch gives what each row gives alone"""
    lengths, size = (3, 6, 4), 6
    mask = padded(size, *at(side, *(size - n for n in lengths)))
    given = learner.padding_causal_mask(mask)
    shaped(given, (3, 1, size, size), "the mask")
    typed(given, torch.bool, "the mask")
    x = draw(3, 2, size, 4)
    out = F.scaled_dot_product_attention(x, x, x, given)
    for row, real in enumerate(mask.bool()):
        alone = x[row][:, real]
        close(out[row][:, real], F.scaled_dot_product_attention(alone, alone, alone, is_causal=True))


def test_decoding_in_a_padded_batch(learner, draw):
    """with the mask, chunks of queries over a cache give what one pass gives"""
    mask = padded(7, 3, 0, 1)
    x = draw(3, 2, 7, 4)
    whole = F.scaled_dot_product_attention(x, x, x, visible(mask))
    for start, end in ((0, 3), (3, 6), (6, 7)):
        chunk = learner.padding_causal_mask(mask[:, :end], end - start)
        shaped(chunk, (3, 1, end - start, end), "the mask")
        typed(chunk, torch.bool, "the mask")
        seen = x[:, :, :end]
        close(F.scaled_dot_product_attention(x[:, :, start:end], seen, seen, chunk), whole[:, :, start:end])


def test_mask_by_keyword(learner):
    """the arguments of padding_causal_mask are named attention_mask and query_len"""
    mask = padded(5, 2, -1)
    allowed(learner.padding_causal_mask.ahead(attention_mask=mask, query_len=3), visible(mask, 3))


def test_mask_of_a_transposed_mask(learner):
    """a transposed and an expanded attention mask have a mask, too"""
    for mask in (padded(5, 2, -1, 0).T.contiguous().T, padded(5, 2).expand(3, 5)):
        allowed(learner.padding_causal_mask.ahead(mask, 3), visible(mask, 3))


def test_mask_leaves_the_mask(learner):
    """padding_causal_mask does not modify the attention mask"""
    for dtype in (torch.int64, torch.bool):
        mask = padded(5, 2, 0, -1, dtype=dtype)
        _, (after, _), _ = learner.padding_causal_mask.echo(mask, 3)
        untouched(mask, after)


MASKS = [padded(5, 2, -1), padded(5, 0, 3), padded(5, -3, 1), padded(5, 2, -1)]


def test_each_tensor_of_positions_is_its_own(learner):
    """each call returns positions of its own: what is written into one shows in no other"""
    given = [MASKS[0], *MASKS, *[padded(5, 0, 0)] * 2, *[padded(5, 0)] * 2, padded(5, 5, -5), padded(5, 5)]
    for mask, got in zip(given, learner.position_ids.several(*((m,) for m in given), spoil=True).wait(), strict=True):
        placed(got, positions(mask))


def test_each_mask_is_its_own(learner):
    """each call returns a mask of its own: what is written into one shows in no other"""
    masks = (MASKS[0], *MASKS, *[padded(5, 0, 0)] * 2, *[padded(5, 0)] * 2)
    given = [(mask, 3) for mask in masks] + [(mask.bool(), 1) for mask in (MASKS[0], padded(5, 5, -5), padded(5, 5))]
    for (mask, rows), got in zip(given, learner.padding_causal_mask.several(*given, spoil=True).wait(), strict=True):
        allowed(got, visible(mask, rows))


def test_positions_where_the_attention_mask_changes(learner):
    """the same tensor may hold another attention mask in the next call for positions"""
    for mask, got in zip(MASKS, learner.position_ids.several(*((m,) for m in MASKS), reuse=True).wait(), strict=True):
        placed(got, positions(mask))


def test_mask_where_the_attention_mask_changes(learner):
    """the same tensor may hold another attention mask in the next call for a mask"""
    given = [(mask, 3) for mask in MASKS]
    for mask, got in zip(MASKS, learner.padding_causal_mask.several(*given, reuse=True).wait(), strict=True):
        allowed(got, visible(mask, 3))


def test_a_call_changes_nothing(learner):
    """a call leaves PyTorch's settings as they were"""
    mask = padded(5, 2, -1)
    for changed in (learner.position_ids.changes(mask), learner.padding_causal_mask.changes(mask, 3)):
        holds(not changed, "a call changes what is not its own", "everything as it was", ", ".join(map(str, changed)))
