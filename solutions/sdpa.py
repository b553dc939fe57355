"""Scaled dot-product attention: every query takes a weighted mean of the values.

    B... leading dimensions, any number    L query length    S key length    E head_dim    Ev value dim

    query (..., L, E)    key (..., S, E)    value (..., S, Ev)    ->    output (..., L, Ev)      L and S at least 1

- The scores are the dot products of queries and keys, times 1/sqrt(E).
- mask is boolean, True means *may attend*, and broadcasts to (..., L, S).
- A query that may attend to nothing gets a row of zeros: never NaN, and the gradients stay finite in every dtype,
  whatever its scores.
- float16, bfloat16, float32 and float64 come out as they went in, and the work is done in at least that
  precision: float64 in, float64 precision out, the root of E and the softmax too.
- Scores of 1e4 are safe, seen or masked, in float16 up to E = 128. The inputs are not modified.
"""

import math

import torch
from torch import Tensor


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of query over key and value.

    Args:
        query: (..., L, E), floating point; key and value have the same leading dimensions and dtype.
        key: (..., S, E)
        value: (..., S, Ev)
        mask: bool, broadcastable to (..., L, S), True = may attend; None lets every query attend to every key.

    Returns:
        (..., L, Ev), in the dtype of query.

    Source: "Attention Is All You Need", section 3.2.1, equation 1.
    """
    # scaled before the product: query @ key of large float16 inputs overflows
    scores = (query / math.sqrt(query.size(-1))) @ key.transpose(-2, -1)  # (..., L, S)
    if mask is None:
        return scores.softmax(dim=-1) @ value  # (..., L, Ev)
    # the lowest finite number, for a row of -inf has no softmax; a row without keys is zeroed after it
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)  # (..., L, S)
    weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)  # (..., L, S)
    return weights @ value  # (..., L, Ev)
