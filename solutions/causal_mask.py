"""The causal mask: a position attends to itself and to what came before it.

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
    key_len = query_len if key_len is None else key_len
    allowed = torch.ones(query_len, key_len, dtype=torch.bool)  # (L, S)
    return allowed.tril(diagonal=key_len - query_len)  # (L, S)


def additive_mask(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The mask to be added to scores.

    Args:
        mask: bool, any shape, True = may attend.
        dtype: the floating-point dtype of the result.

    Returns:
        The shape of mask: 0 where it is True, -inf where it is False.
    """
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -math.inf)
