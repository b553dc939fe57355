"""Causal and additive masks, about 10 minutes.

Grade it with: python grader.py check causal_mask

The causal mask: a position attends to itself and to what came before it.

    L query length    S key length

- Masks are boolean and True means *may attend*.
- With more keys than queries, the queries are the *last* L of the S positions, as when decoding with a cache:
  the last query sees every key. Fewer keys than queries is not asked for.
- Each call returns a tensor of its own: what is written into one shows in no other.
- The additive form of a mask is 0 where it is True and -inf where it is False, in the dtype asked for.
"""

import math

import torch
from torch import Tensor


def causal_mask(query_len: int, key_len: int | None = None) -> Tensor:
    """Which keys each query may attend to.

    Args:
        query_len: L, at least 1.
        key_len: S, at least L; L when it is None.

    Returns:
        bool (L, S), True = may attend.

    Source: "Attention Is All You Need", section 3.2.3.
    """
    # TODO:
    #   1. key_len is query_len where it is not given
    #   2. the queries are the last query_len of the key_len positions
    #   3. True where the key is not later than the query
    raise NotImplementedError("causal_mask")


def additive_mask(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The mask to be added to scores.

    Args:
        mask: bool, any shape, True = may attend.
        dtype: the floating-point dtype of the result.

    Returns:
        The shape of mask: 0 where it is True, -inf where it is False.
    """
    # TODO:
    #   1. 0 where the mask is True, -inf where it is False, in the dtype asked for
    raise NotImplementedError("additive_mask")
