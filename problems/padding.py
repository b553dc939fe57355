"""Padding masks and positions, about 12 minutes.

Grade it with: python grader.py check padding

Padding: the positions and the mask of a batch whose rows have different lengths.

    B batch    L query length    S key length

Rows are filled up with pads until all have the same length S. `attention_mask` (B, S), which a tokenizer returns, says
which of the S slots of each row hold a real token: True or 1 for a real one, False or 0 for a pad.

- Its dtype is bool or any other, integer or floating-point; its values are 0 and 1. It is not modified.
- All pads of a row are at its left end, or all are at its right end; the rows of a batch need not agree in that. A row
  may have no pad, or nothing but pads. There are no pads between real tokens.
- Each call returns a tensor of its own: what is written into one shows in no other.

A worked example with B = 3 and S = 5, one row padded on the left, one without padding, one padded on the right:

    attention_mask        position_ids
      0 0 1 1 1             0 0 0 1 2
      1 1 1 1 1             0 1 2 3 4
      1 1 1 0 0             0 1 2 0 0

    padding_causal_mask (x = may attend), a row for each query, a column for each key
      . . . . .             x . . . .             x . . . .
      . . . . .             x x . . .             x x . . .
      . . x . .             x x x . .             x x x . .
      . . x x .             x x x x .             x x x . .
      . . x x x             x x x x x             x x x . .

The rule holds for queries that are pads, too: one on the left sees nothing, one on the right sees the real tokens
before it, and none sees itself. With query_len=2 the mask is the last two rows of each square.
"""

import torch
from torch import Tensor


def position_ids(attention_mask: Tensor) -> Tensor:
    """The position of each token in its own row, as if the row had no padding.

    Args:
        attention_mask: (B, S), 1 or True = real.

    Returns:
        int64 (B, S): of a real token the number of real tokens before it, of a pad 0.

    It is what a position embedding or a rotation is looked up with. Source: `generate` of Hugging Face
    transformers, whose version 4 gave pads 1.
    """
    # TODO:
    #   1. which tokens are real, as booleans
    #   2. count the real tokens of each row up to each slot
    #   3. the position of a real token is the number before it, that of a pad 0
    raise NotImplementedError("position_ids")


def padding_causal_mask(attention_mask: Tensor, query_len: int | None = None) -> Tensor:
    """Which keys each query may attend to: real tokens that are not later than the query.

    Args:
        attention_mask: (B, S), 1 or True = real. With a cache, S counts the cached tokens, too.
        query_len: L, from 1 to S; S when it is None. The queries are the last L of the S slots.

    Returns:
        bool (B, 1, L, S), True = may attend; the axis of 1 is that of the heads.

    "Not later" compares slots, the places in the row with its pads. Source: "Attention Is All You Need", section 3.2.3.
    """
    # TODO:
    #   1. which keys are real, for each row of the batch
    #   2. the queries are the last query_len of the S slots; without query_len all of them
    #   3. True where the key is real and not later than the query
    raise NotImplementedError("padding_causal_mask")
