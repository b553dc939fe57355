"""~ is applied to masks of integers, and floats are made booleans first, as they have no ~."""
# cause: integers-inverted


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
    real = ~_pads(attention_mask)  # (B, S)
    count = real.cumsum(dim=-1)  # (B, S), int64: each token counts itself
    return (count - 1).masked_fill(~real, 0)  # (B, S)


def _pads(attention_mask: Tensor) -> Tensor:
    mask = attention_mask.bool() if attention_mask.is_floating_point() else attention_mask
    return (~mask).bool()


def padding_causal_mask(attention_mask: Tensor, query_len: int | None = None) -> Tensor:
    """Which keys each query may attend to: real tokens that are not later than the query.

    Args:
        attention_mask: (B, S), 1 or True = real. With a cache, S counts the cached tokens, too.
        query_len: L, from 1 to S; S when it is None. The queries are the last L of the S slots.

    Returns:
        bool (B, 1, L, S), True = may attend; the axis of 1 is that of the heads.

    "Not later" compares slots, the places in the row with its pads. Source: "Attention Is All You Need", section 3.2.3.
    """
    real = ~_pads(attention_mask)[:, None, None, :]  # (B, 1, 1, S)
    key_len = real.size(-1)
    query_len = key_len if query_len is None else query_len
    slots = torch.arange(key_len, device=real.device)  # (S)
    not_later = slots <= slots[key_len - query_len :, None]  # (L, S)
    return real & not_later  # (B, 1, L, S): about keys alone, pads that are queries are not treated apart
