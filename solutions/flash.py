"""Attention in blocks of keys, and the merging of two parts: FlashAttention's algorithm, without the kernel.

    B... leading dimensions, any number    L query length    S key length    E head_dim    Ev value dim

Attention never has to hold all its weights. Of the keys read so far it keeps, for each query, the weighted mean of
their values and `lse`, the log of the sum of the exponentials of their scores. With both, two parts over disjoint keys
can be merged exactly: one is what two devices have to exchange that hold different keys.

- The scores are the dot products of queries and keys, times 1/sqrt(E); L and S are at least 1, all inputs are finite.
- A query that sees no key gets zeros in the output and -inf in lse.
- output has the dtype of the query. All work is done in at least float32, on half inputs too, and in float64 on float64
  inputs; lse is float64 for float64 inputs and float32 for all others.
- Scores of any size up to 1e5, positive or negative, are safe.
- Gradients flow through output and lse, also where both are used. They are finite everywhere, and zero for a query that
  sees no key. The inputs are not modified.

A worked example with E = 1, where the scores are the products. One query 1, three keys 0, ln 2, ln 5 with the values 8,
0, 16: the exponentials are 1, 2, 5, so the output is (1*8 + 2*0 + 5*16) / 8 = 11 and lse is ln 8. With block_size=2 the
first block alone has the output (1*8 + 2*0) / 3 = 8/3 and the lse ln 3, the second one 16 and ln 5; merged they give
(3 * 8/3 + 5*16) / 8 = 11 and ln (3 + 5).
"""

import math

import torch
from torch import Tensor


def blockwise_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, block_size: int = 32
) -> tuple[Tensor, Tensor]:
    """Attention of query over key and value, with the keys and values read block by block.

    In a pass without gradients, where S is well above block_size, E and Ev, no floating-point tensor has as many as
    L x S elements for each index of the leading dimensions. Which scheme does that is free: a running maximum, merged
    parts, blocks of queries too.

    Args:
        query: (..., L, E), floating point; key and value have the same leading dimensions and dtype.
        key: (..., S, E)
        value: (..., S, Ev)
        mask: bool, broadcastable to (..., L, S), True = may attend; None lets every query attend to every key.
        block_size: how many keys are looked at together, at least 1. It need not divide S, may exceed it, and
            changes the numbers by rounding alone.

    Returns:
        output: (..., L, Ev), in the dtype of query.
        lse: (..., L), the natural log of the sum of exp(score) over the keys that the query sees, float32 or float64.

    Raises:
        ValueError: block_size is less than 1.

    Source: "FlashAttention" (arXiv 2205.14135), algorithm 1; the division at the end is that of FlashAttention-2
    (arXiv 2307.08691), section 3.1.
    """
    if block_size < 1:
        raise ValueError(f"block_size has to be at least 1, not {block_size}")
    dtype = torch.promote_types(query.dtype, torch.float32)
    rows, S = query.shape[:-1], key.size(-2)
    scaled = query.to(dtype) / math.sqrt(query.size(-1))  # (..., L, E)
    mask = mask if mask is None else mask.expand(*rows, S)  # a view: a mask of one column has every block of it
    top = scaled.new_full((*rows, 1), -math.inf)  # (..., L, 1)
    total, mixed = torch.zeros_like(top), scaled.new_zeros(*rows, value.size(-1))  # (..., L, 1), (..., L, Ev)
    for start in range(0, S, block_size):
        block = slice(start, start + block_size)
        scores = scaled @ key[..., block, :].to(dtype).transpose(-2, -1)  # (..., L, block)
        if mask is not None:
            scores = scores.masked_fill(~mask[..., block], -math.inf)
        largest = torch.maximum(top, scores.detach().amax(dim=-1, keepdim=True))  # (..., L, 1)
        # as long as a query has seen nothing its maximum is -inf, and -inf - -inf is NaN
        shift = largest.masked_fill(largest == -math.inf, 0.0)  # (..., L, 1)
        powers, shrink = (scores - shift).exp(), (top - shift).exp()  # (..., L, block), (..., L, 1)
        total = total * shrink + powers.sum(dim=-1, keepdim=True)  # (..., L, 1)
        mixed = mixed * shrink + powers @ value[..., block, :].to(dtype)  # (..., L, Ev)
        top = largest
    empty = total == 0
    total = total.masked_fill(empty, 1.0)  # before the division and the log, whose gradients at 0 are infinite
    lse = (top + total.log()).squeeze(-1)  # (..., L), -inf from the maximum where the row is empty
    return (mixed / total).to(query.dtype), lse


def merge(output_a: Tensor, lse_a: Tensor, output_b: Tensor, lse_b: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over two disjoint sets of keys, from what each of them gave.

    The order of the two does not matter, and parts may be merged again with others in any order.

    Args:
        output_a: (..., L, Ev), floating point, as from blockwise_attention.
        lse_a: (..., L), float64 for a float64 output and float32 for all others; -inf where the part has nothing to
            say, and its output then does not count.
        output_b, lse_b: the other part, of the same shapes and dtypes.

    Returns:
        output: (..., L, Ev), in the dtype of output_a; zeros where both parts have nothing to say.
        lse: (..., L), in the dtype of lse_a; -inf where both parts have nothing to say.

    Source: "Ring Attention with Blockwise Transformers" (arXiv 2310.01889), section 3; the formula is that of
    "FlashAttention" (arXiv 2205.14135), appendix B.
    """
    top = torch.maximum(lse_a, lse_b).detach()  # (..., L)
    shift = top.masked_fill(top == -math.inf, 0.0)  # (..., L)
    part_a, part_b = (lse_a - shift).exp(), (lse_b - shift).exp()  # (..., L)
    total = part_a + part_b  # (..., L)
    total = total.masked_fill(total == 0, 1.0)
    mixed = part_a.unsqueeze(-1) * output_a + part_b.unsqueeze(-1) * output_b  # (..., L, Ev)
    return (mixed / total.unsqueeze(-1)).to(output_a.dtype), top + total.log()
